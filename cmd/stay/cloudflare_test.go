package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stay-go/stay/internal/need"
	"github.com/stay-go/stay/internal/workerd"
	"github.com/stay-go/stay/store/cloudflarestore"
)

// What the command does with the store of a Worker.
func TestCloudflare(t *testing.T) {
	const secret = "the-secret-of-the-tests"
	server, err := workerd.New(t.TempDir(), workerd.Worker{
		Modules: map[string]string{"main.js": cloudflarestore.Worker()},
		Class:   "StayRecords",
		Binding: "STAY",
		Texts:   map[string]string{"STAY_SECRET": secret},
	})
	need.NoError(t, err, workerd.ErrMissing)
	t.Cleanup(server.Kill)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/cloudflare",
		Setup: func(env *testscript.Env) error {
			env.Setenv("WORKER", server.URL())
			env.Setenv("STAY_SECRET", secret)
			return nil
		},
	})
}
