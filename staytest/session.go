package staytest

import (
	"context"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
)

// Session returns a context for calls on states and sessions of the App: the
// context of a browser that has not been here before, without HTTP. It ends
// with the test, as t.Context does. It may be used concurrently.
//
// Each use of the context is a separate request, with the cookie that the
// browser has at that time. So it stays the same session when the session is
// renewed, as a login does, slides when time passes, and becomes a new session
// after Destroy or when the session has expired. Only a Destroy before any
// state was used ends it for good. Two browsers are two calls of Session.
// state was used ends it for good. Two browsers are two calls of Session.
func Session(t testing.TB, app *stay.App) context.Context {
	t.Helper()
	core := access.AppOf(app)
	return &browser{Context: t.Context(), app: core, ring: core.Keyring(nil)}
}

// A browser is the context of one, and the access.Carrier that its sessions'
// tokens come by.
type browser struct {
	context.Context // of the test

	app  access.App
	ring access.Keyring

	mu    sync.Mutex
	token string
	// first is the request that has no cookie to send. A real browser gets a
	// session with each of several requests that begin without a cookie; in
	// this one, they share one.
	first context.Context
}

// Format implements fmt.Formatter: the token stays out of the test's output.
func (b *browser) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "staytest.Session") }

// Value implements context.Context: code that looks for the session finds the
// session of a new request.
func (b *browser) Value(key any) any { return b.request().Value(key) }

func (b *browser) request() context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.token != "" {
		return b.app.Begin(b.Context, b.ring, b.token, b)
	}
	if b.first == nil {
		b.first = b.app.Begin(b.Context, b.ring, "", b)
	}
	return b.first
}

// Issue implements access.Carrier.
func (b *browser) Issue(token string, _ time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.token, b.first = token, nil
	return true
}

// Used implements access.Carrier.
func (b *browser) Used() {}

// Open implements access.Carrier: there is no header that could have been
// written.
func (b *browser) Open() bool { return true }
