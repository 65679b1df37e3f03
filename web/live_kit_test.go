package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/sse"
	"github.com/stay-go/stay/internal/sse/ssetest"
	"github.com/stay-go/stay/web"
)

// Note is a state that the live pages of the tests show.
type Note struct {
	Name string `json:"name" stay:"key"`
	Text string `json:"text"`
}

// A liveSite has a state of each kind on one page.
type liveSite struct {
	*site
	news  *stay.State[Board]
	mine  *stay.State[Board]
	rooms *stay.State[Note]
	mux   *http.ServeMux
	h     http.Handler
}

// Board is a state without a key.
type Board struct {
	Text string `json:"text"`
}

func newLiveSite(t testing.TB, o *web.Options, change ...func(*stay.Options)) *liveSite {
	return newLiveSiteOn(newSite(t, change...), o)
}

func newLiveSiteOn(site *site, o *web.Options) *liveSite {
	s := &liveSite{site: site, mux: http.NewServeMux()}
	s.news = stay.Register(s.app, stay.Module[Board]{Name: "news", Persist: stay.Global})
	s.mine = stay.Register(s.app, stay.Module[Board]{Name: "mine", Persist: stay.PerUser})
	s.rooms = stay.Register(s.app, stay.Module[Note]{Name: "room", Persist: stay.WithKey(func(n *Note) string { return n.Name })})
	s.mux.HandleFunc("/login", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		return stay.SessionFrom(r.Context()).Login(r.Context(), r.FormValue("user"))
	}))
	s.do("/logout", func(x *stay.Session, ctx context.Context) error { return x.Logout(ctx) })
	s.do("/renew", func(x *stay.Session, ctx context.Context) error { return x.Renew(ctx) })
	s.do("/destroy", func(x *stay.Session, ctx context.Context) error { return x.Destroy(ctx) })
	s.mux.HandleFunc("/write", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		_, err := s.mine.Update(r.Context(), func(b *Board) error { b.Text = r.FormValue("text"); return nil })
		return err
	}))
	s.mux.HandleFunc("/count", web.Update(s.counter, func(_ http.ResponseWriter, _ *http.Request, c *Counter) error { c.Count++; return nil }))
	s.mux.Handle("GET /live", web.Live(s.newsPart(), s.minePart(), s.countPart()))
	s.mux.Handle("GET /public", web.Live(s.newsPart()))
	s.mux.Handle("GET /three/{room}", web.Live(s.threePart("three")))
	s.h = web.Sessions(s.app, o)(s.mux)
	return s
}

func (s *liveSite) do(path string, fn func(*stay.Session, context.Context) error) {
	s.mux.HandleFunc(path, web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		return fn(stay.SessionFrom(r.Context()), r.Context())
	}))
}

func showBoard(w io.Writer, b *Board) error { _, err := fmt.Fprint(w, b.Text); return err }

func (s *liveSite) newsPart() web.LivePart { return web.Part("news", s.news, showBoard) }
func (s *liveSite) minePart() web.LivePart { return web.Part("mine", s.mine, showBoard) }
func (s *liveSite) countPart() web.LivePart {
	return web.Part("count", s.counter, func(w io.Writer, c *Counter) error { _, err := fmt.Fprint(w, c.Count); return err })
}

// publish changes the Global state.
func (s *liveSite) publish(t testing.TB, text string) {
	t.Helper()
	if _, err := s.news.Update(t.Context(), func(b *Board) error { b.Text = text; return nil }); err != nil {
		t.Fatal(err)
	}
}

// inBubble runs a test in a bubble. It fails if a stream leaves a goroutine.
func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

func sleep(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the bubble's time
	synctest.Wait()
}

// A wire is the connection of one stream, in a bubble. It takes everything, until
// it is told to be full.
type wire struct {
	mu       sync.Mutex
	header   http.Header
	status   int
	sent     []byte // flushed
	held     []byte // not flushed
	deadline time.Time
	full     chan struct{} // not nil: writes wait until it is closed
}

// Header implements http.ResponseWriter.
func (w *wire) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *wire) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status == 0 {
		w.status = status
		w.header = w.header.Clone()
	}
}

// Write implements http.ResponseWriter.
func (w *wire) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.mu.Lock()
	full, deadline := w.full, w.deadline
	w.mu.Unlock()
	if full != nil {
		select {
		case <-full:
		case <-time.After(time.Until(deadline)):
			return 0, os.ErrDeadlineExceeded
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = append(w.held, b...)
	return len(b), nil
}

// FlushError is what http.ResponseController calls.
func (w *wire) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent, w.held = append(w.sent, w.held...), nil
	return nil
}

// SetWriteDeadline is what http.ResponseController calls.
func (w *wire) SetWriteDeadline(at time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deadline = at
	return nil
}

// fill has writes wait until full is closed; nil lets them pass.
func (w *wire) fill(full chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.full = full
}

func (w *wire) take() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.sent
	w.sent = nil
	return b
}

// A tab is a page of a browser with one stream, in a bubble.
type tab struct {
	t       *testing.T
	browser *http.Client
	h       http.Handler
	path    string
	dialect sse.Dialect
	header  http.Header
	proto   int // of HTTP; 0 = 1

	page    map[string]string // what it shows
	changed []string          // the parts that were sent, in order
	raw     []byte            // what has arrived on the stream
	id      string            // that it comes back with
	retry   time.Duration     // after which it comes back
	wire    *wire
	client  ssetest.Client
	seen    int  // messages of client
	broken  bool // the stream did not end cleanly
	cancel  context.CancelFunc
	done    chan struct{}
}

// clientHeaders are what the client of each dialect sends.
var clientHeaders = map[sse.Dialect]http.Header{
	sse.Plain:     {"Accept": {"text/event-stream"}},
	sse.HTMX:      {"Accept": {"text/html, text/event-stream"}, "Hx-Request": {"true"}},
	sse.Datastar:  {"Accept": {"text/event-stream, text/html, application/json"}, "Datastar-Request": {"true"}},
	sse.Fragments: {"Accept": {"text/event-stream"}, "Datastar-Request": {"true"}},
}

var dialects = []sse.Dialect{sse.Plain, sse.HTMX, sse.Datastar, sse.Fragments}

func newTab(t *testing.T, h http.Handler, c *http.Client, path string) *tab {
	return &tab{t: t, h: h, browser: c, path: path, page: map[string]string{}, header: http.Header{}}
}

// tab opens a page in a new browser.
func (s *liveSite) tab(t *testing.T, path string) *tab {
	t.Helper()
	p := newTab(t, s.h, browser(s.h), path)
	p.open()
	return p
}

// open begins a stream, with what the page has.
func (p *tab) open() {
	p.t.Helper()
	if p.done != nil && !p.over() {
		p.t.Fatal("the page has a stream already")
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := httptest.NewRequestWithContext(ctx, "GET", "http://app.test"+p.path, nil)
	r.ProtoMajor = max(p.proto, 1)
	maps.Copy(r.Header, clientHeaders[p.dialect])
	maps.Copy(r.Header, p.header)
	if p.id != "" {
		r.Header.Set("Last-Event-ID", p.id)
	}
	at := &url.URL{Scheme: "http", Host: "app.test", Path: "/"}
	if p.header.Get("X-Forwarded-Proto") == "https" {
		at.Scheme = "https"
	}
	for _, c := range p.browser.Jar.Cookies(at) {
		r.AddCookie(c)
	}
	w := &wire{header: http.Header{}}
	done := make(chan struct{})
	p.wire, p.client, p.seen, p.cancel, p.done, p.broken, p.raw = w, ssetest.New(p.dialect), 0, cancel, done, false, nil
	go func() {
		defer close(done)
		defer func() {
			switch e := recover(); e {
			case nil:
			case http.ErrAbortHandler:
				p.broken = true
			default:
				p.t.Errorf("the stream panicked: %v", e)
			}
		}()
		p.h.ServeHTTP(w, r)
		_ = w.FlushError()
	}()
	p.t.Cleanup(func() { cancel(); <-done })
	p.read()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.status != 0 {
		p.browser.Jar.SetCookies(at, (&http.Response{Header: w.header}).Cookies())
	}
}

// settle lets so much time pass that the next change is sent at once.
func settle() { sleep(time.Second) }

// read takes what has arrived and returns the ids of the parts that it changed,
// in order.
func (p *tab) read() []string {
	p.t.Helper()
	synctest.Wait()
	arrived := p.wire.take()
	p.raw = append(p.raw, arrived...)
	p.client.Feed(arrived)
	got := p.client.Read()
	patches, err := ssetest.Patches(p.dialect, got.Messages[p.seen:])
	if err != nil {
		p.t.Fatal(err)
	}
	p.seen = len(got.Messages)
	if got.ID != "" {
		p.id = got.ID
	}
	if got.Retry != 0 {
		p.retry = time.Duration(got.Retry) * time.Millisecond
	}
	ids := []string{}
	for _, patch := range patches {
		id := patch.ID
		if id == "" {
			_, id, _ = strings.Cut(patch.HTML, `id="`)
			id, _, _ = strings.Cut(id, `"`)
		}
		p.page[id] = patch.HTML
		ids = append(ids, id)
	}
	p.changed = append(p.changed, ids...)
	return ids
}

// want reads, and compares the parts that have changed.
func (p *tab) want(changed ...string) {
	p.t.Helper()
	if got := p.read(); !slices.Equal(got, changed) {
		p.t.Fatalf("the stream changed %q, want %q; the page is %q", got, changed, p.page)
	}
}

// shows compares the page: pairs of an id and what is in its element.
func (p *tab) shows(want ...string) {
	p.t.Helper()
	for i := 0; i < len(want); i += 2 {
		if got := p.page[want[i]]; got != want[i+1] {
			p.t.Fatalf("#%s shows %q, want %q", want[i], got, want[i+1])
		}
	}
}

// over reports whether the stream has ended.
func (p *tab) over() bool {
	synctest.Wait()
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// ended checks that the stream has ended, in the way that has the client come back
// after a time between the two.
func (p *tab) ended(least, most time.Duration) {
	p.t.Helper()
	if !p.over() {
		p.t.Fatal("the stream goes on")
	}
	p.read()
	if p.broken != p.dialect.Breaks() {
		p.t.Errorf("the stream broke: %t, and its client comes back only if that is %t", p.broken, p.dialect.Breaks())
	}
	if p.retry < least-time.Millisecond || p.retry > most {
		p.t.Errorf("the client comes back after %v, want %v to %v", p.retry, least, most)
	}
}

// close ends the stream from the browser's side.
func (p *tab) close() {
	p.cancel()
	<-p.done
}

// post sends a form from the page's browser.
func (p *tab) post(path string) {
	p.t.Helper()
	if a := send(p.t, p.browser, "POST", path, ""); a.status != 200 {
		p.t.Fatalf("%s: %d %s", path, a.status, a.body)
	}
}

var errBroken = errors.New("broken")

// evict has an App load everything again.
func evict(app *stay.App) { access.AppOf(app).Evict(false) }
