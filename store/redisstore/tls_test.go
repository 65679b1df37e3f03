package redisstore_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/process"
	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/redisstore"
)

// TestTLS proves that a store checks the certificate of its server unless its URL
// says not to, and that errors say what is wrong and do not show the password.
func TestTLS(t *testing.T) {
	t.Parallel()
	pool, certFile, keyFile := storekit.Certificate(t)
	port, err := process.FreePorts(1)
	check(t, err)
	s := ownServer(t, fmt.Sprintf("tls-port %d", port), "tls-cert-file "+certFile, "tls-key-file "+keyFile, "tls-auth-clients no")
	ask(t, s, "ACL", "SETUSER", "app", "on", ">hush", "~*", "&*", "+@all")
	at := func(scheme, host, password, rest string) string {
		return fmt.Sprintf("%s://app:%s@%s:%d%s", scheme, password, host, port, rest)
	}
	o, err := redisstore.Parse(at("rediss", "127.0.0.1", "hush", ""))
	if err != nil {
		t.Fatal(err)
	}
	o.TLSConfig.RootCAs = pool
	trusting, err := redisstore.OpenWith(storekit.Within(t), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer trusting.Close()
	rev := storekit.Put(t, trusting, "key", 0, "x")
	w := storekit.Watch(t, trusting)
	w.WantNamed(t, "key", storekit.Put(t, open(t, at("rediss", "127.0.0.1", "hush", "?skip_verify=true")), "key", rev, "y"), 1)

	storekit.Refuses(t, "hush", func(t *testing.T, url string) (*redisstore.Store, error) {
		return redisstore.Open(storekit.Within(t), url)
	}, map[string]struct{ URL, Want string }{
		"unknown authority": {at("rediss", "127.0.0.1", "hush", ""), "unknown authority"},
		"another host":      {at("rediss", "localhost", "hush", ""), "certificate"},
		"no TLS":            {at("redis", "127.0.0.1", "hush", "?dial_timeout=2s"), ""},
		"wrong password":    {at("rediss", "127.0.0.1", "hushhush", "?skip_verify=true"), "WRONGPASS"},
		"no such parameter": {at("rediss", "127.0.0.1", "hush", "?skip_verfy=true"), "a parameter that does not exist"},
		"no such database":  {at("rediss", "127.0.0.1", "hush", "/99?skip_verify=true"), "out of range"},
		"a bad port":        {strings.Replace(at("rediss", "127.0.0.1", "hush", ""), fmt.Sprint(port), "port", 1), "its form is redis://"},
		"a bad escape":      {at("rediss", "127.0.0.1", "hu%zzsh", ""), "its form is redis://"},
		"no scheme":         {strings.TrimPrefix(at("rediss", "127.0.0.1", "hush", ""), "rediss://"), "its form is redis://"},
		"a typo in front":   {at("reds", "127.0.0.1", "hush", ""), "its form is redis://"},
	})
	if log := s.Log().String(); strings.Contains(log, "hush") {
		t.Errorf("the server has logged the password: %s", log)
	}
}

// TestPasswordChanges proves that a store whose password is no longer good says so
// without showing it, and works again when it is.
func TestPasswordChanges(t *testing.T) {
	t.Parallel()
	s := ownServer(t)
	ask(t, s, "ACL", "SETUSER", "app", "on", ">hush", "~*", "&*", "+@all")
	st := open(t, as(s, "app", "hush"))
	rev := storekit.Put(t, st, "key", 0, "x")
	ask(t, s, "ACL", "SETUSER", "app", "resetpass", ">other")
	ask(t, s, "CLIENT", "KILL", "USER", "app")
	r := storekit.One(st, store.Write{Key: "key", Base: rev})
	if r.Outcome != store.Rejected {
		t.Fatalf("%v: %v", r.Outcome, r.Err)
	}
	if text := r.Err.Error(); strings.Contains(text, "hush") || !strings.Contains(text, "WRONGPASS") {
		t.Error(text)
	}
	ask(t, s, "ACL", "SETUSER", "app", "resetpass", ">hush")
	storekit.Put(t, st, "key", rev, "y")
}

// TestSocket proves that a store can reach its server over a Unix socket.
func TestSocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "r") // a path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	ownServer(t, "unixsocket "+socket)
	st := open(t, (&url.URL{Scheme: "unix", Path: socket}).String())
	storekit.Put(t, st, "key", 0, "x")
}
