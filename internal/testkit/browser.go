package testkit

import (
	"context"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
)

// A Browser keeps the token of its last response, as a cookie.
type Browser struct {
	App   access.App
	Ring  access.Keyring
	Token string
}

// NewBrowser is a browser without a cookie.
func NewBrowser(app *stay.App) *Browser {
	b := access.AppOf(app)
	return &Browser{App: b, Ring: b.Keyring(nil)}
}

// Request begins a request with the browser's cookie.
func (b *Browser) Request() (context.Context, *Response) {
	r := &Response{Browser: b}
	return b.App.Begin(context.Background(), b.Ring, b.Token, r), r
}

// Ctx is the context of a new request with the browser's cookie.
func (b *Browser) Ctx() context.Context {
	ctx, _ := b.Request()
	return ctx
}

// Known has the browser get its cookie, and returns the ID of its session.
func (b *Browser) Known(t *testing.T, s *stay.State[Todos]) string {
	t.Helper()
	Must(t)(s.Get(b.Ctx()))
	return stay.SessionFrom(b.Ctx()).ID()
}

// On is the browser with a new process behind the same address, or as another
// node sees it: the cookie is the same.
func (b *Browser) On(app *stay.App) *Browser {
	n := NewBrowser(app)
	n.Token = b.Token
	return n
}

// With returns a browser that has another token.
func (b *Browser) With(token string) *Browser {
	c := *b
	c.Token = token
	return &c
}

// A Response records the changes of the response by one request's session.
type Response struct {
	Browser *Browser
	Sent    bool // the header has been written
	Issued  []string
	Expires time.Time // of the last cookie; zero: with the browser
	WasUsed bool
	OnIssue func()
}

// Issue implements access.Carrier.
func (r *Response) Issue(token string, expires time.Time) bool {
	if r.Sent {
		return false
	}
	r.Issued, r.Expires = append(r.Issued, token), expires
	r.Browser.Token = token
	if r.OnIssue != nil {
		r.OnIssue()
	}
	return true
}

// Used implements access.Carrier.
func (r *Response) Used() { r.WasUsed = true }

// Open implements access.Carrier.
func (r *Response) Open() bool { return !r.Sent }

// MustLoadPage resets the states that a page load resets.
func MustLoadPage(t *testing.T, ctx context.Context, app *stay.App) {
	t.Helper()
	if err := access.AppOf(app).PageLoad(ctx); err != nil {
		t.Errorf("page load: %v", err)
	}
}
