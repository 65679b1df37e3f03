package cloudflarestore_test

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stay-go/stay/internal/need"
	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/internal/workerd"
	"github.com/stay-go/stay/store/cloudflarestore"
)

// secret is the one of all Workers.
const secret = "the-secret-of-the-tests"

// deployed is the Worker as it is deployed.
func deployed() workerd.Worker {
	return workerd.Worker{
		Modules: map[string]string{"main.js": cloudflarestore.Worker()},
		Class:   "StayRecords",
		Binding: "STAY",
		Texts:   map[string]string{"STAY_SECRET": secret},
	}
}

// failing is a Worker whose objects do in a commit what a further script says. In
// it, commit is what the objects of the deployed Worker do.
func failing(script string) workerd.Worker {
	w := deployed()
	w.Modules = map[string]string{"worker.js": cloudflarestore.Worker(), "main.js": fmt.Sprintf(`
import worker, { StayRecords as Deployed } from "worker.js";
export default worker;
export class StayRecords extends Deployed {
  async commit(call) {
    const commit = () => super.commit(call);
    const keys = call.groups.flat().map((w) => atob(w.key));
    %s
    return commit();
  }
}`, script)}
	return w
}

// shared is the server of all tests that do not stop it. Each of its objects is a
// file that is synced, which takes a disk long.
var shared = storekit.Share(storekit.Memory(), func(dir string) (*workerd.Server, error) { return workerd.New(dir, deployed()) })

func TestMain(m *testing.M) {
	code := m.Run()
	if code != 0 && shared.Begun() {
		s, err := shared.Get()
		fmt.Fprintln(os.Stderr, "workerd said:", s.Log(), err)
	}
	shared.End()
	os.Exit(code)
}

// theServer returns the shared server.
func theServer(t testing.TB) *workerd.Server {
	t.Helper()
	s, err := shared.Get()
	check(t, err)
	return s
}

// ownServer returns a server that is for this test alone.
func ownServer(t *testing.T, w workerd.Worker) *workerd.Server {
	t.Helper()
	s, err := workerd.New(t.TempDir(), w)
	check(t, err)
	t.Cleanup(s.Kill)
	return s
}

// check skips the test if workerd is missing, or fails it if it must not be.
func check(t testing.TB, err error) {
	t.Helper()
	need.NoError(t, err, workerd.ErrMissing)
}

var places atomic.Int64

// place returns a name that no other test has.
func place() cloudflarestore.Option { return cloudflarestore.Name(fmt.Sprint("test", places.Add(1))) }

// open opens a store that the test closes.
func open(t testing.TB, s *workerd.Server, options ...cloudflarestore.Option) *cloudflarestore.Store {
	t.Helper()
	opened, err := cloudflarestore.Open(storekit.Within(t), s.URL(), secret, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	return opened
}

// wantText fails the test if an error does not say something, or shows the secret.
func wantText(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("the error is %v, want one with %q", err, text)
	}
	if err != nil && strings.Contains(err.Error(), secret) {
		t.Errorf("the error shows the secret: %v", err)
	}
}
