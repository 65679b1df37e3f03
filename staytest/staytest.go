// Package staytest helps to test programs that use package stay.
//
// [App] makes an App in memory, [Session] the context of a browser without
// HTTP, and [Browser] a client with its own cookies for a whole handler. [Want]
// checks a state, [Clock] is a clock that the test moves, and [Golden] checks
// that states which past versions of the program stored are still read without
// loss.
//
// Everything ends with the test that made it. Whatever takes time also works in
// testing/synctest, except [Browser], which uses the network.
package staytest

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store/memstore"
)

// closeWithin bounds how long the end of a test waits for its App.
const closeWithin = 10 * time.Second

// App returns an App that keeps its states in memory. It is closed when the
// test ends, after the functions that the test registered later with Cleanup.
// If something is then still under way for 10 seconds, the test fails. Nil
// options mean the defaults, and without a Logger the App logs to the test's
// output.
//
// A stored state is dropped from memory after each use and read from its JSON
// at the next one, as happens to any state in production sooner or later. So a
// test sees what a value loses that way. States that are never stored, that is,
// those of guests and of modules without Persist, are not dropped.
func App(t testing.TB, opts *stay.Options) *stay.App {
	t.Helper()
	var o stay.Options
	if opts != nil {
		o = *opts
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	app := stay.New(memstore.New(), &o)
	access.AppOf(app).Evict(true)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
		defer cancel()
		if err := app.Close(ctx); err != nil {
			t.Errorf("closing the App: %v", err)
		}
	})
	return app
}

// Browser serves the handler on a local address until the test ends, and
// returns a client with its own cookies and the address, such as
// "http://127.0.0.1:40000". For a second browser call it again with the same
// handler. When the test ends, requests under way are cut off.
//
// The client is not a real browser: it follows redirects and keeps cookies, but
// runs no scripts and sends no Sec-Fetch headers.
func Browser(t testing.TB, handler http.Handler) (*http.Client, string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	client := server.Client()
	client.Jar = jar
	return client, server.URL
}
