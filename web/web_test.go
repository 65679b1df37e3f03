package web_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/web"
)

// Counter is the state that the tests serve.
type Counter struct {
	Count  int    `json:"count"`
	Label  string `json:"label"`
	Secret string `json:"secret" stay:"private"`
}

// Step is the payload of the action "add".
type Step struct {
	By    int    `json:"by"`
	Label string `json:"label"`
}

func (s Step) Validate() error {
	var errs []error
	if s.By < 0 {
		errs = append(errs, stay.Invalid("by", "must not be negative"))
	}
	if len(s.Label) > 10 {
		errs = append(errs, stay.Invalid("label", "is too long"))
	}
	return errors.Join(errs...)
}

var counterModule = stay.Module[Counter]{
	Name:    "counter",
	Initial: Counter{Label: "clicks", Secret: "hidden"},
	Persist: stay.PerSession,
	Actions: stay.Actions[Counter]{
		"add": stay.WithPayload(func(_ *stay.Call, c *Counter, in Step) error {
			c.Count += in.By
			if in.Label != "" {
				c.Label = in.Label
			}
			return nil
		}),
		"increment": func(_ *stay.Call, c *Counter) error {
			c.Count++
			return nil
		},
		"fail": func(_ *stay.Call, c *Counter) error {
			c.Count = 999
			return errors.New("boom: the password is hunter2")
		},
	},
}

// spy is a store that counts what it keeps and can answer with a conflict.
type spy struct {
	store.Store
	writes    atomic.Int64
	conflicts atomic.Int64 // how many of the next states written conflict
}

func (s *spy) Commit(ctx context.Context, groups []store.Group) []store.Result {
	out := make([]store.Result, len(groups))
	for i, g := range groups {
		state := len(g) > 0 && g[0].Key != "stay/modules"
		if state && s.conflicts.Load() > 0 && s.conflicts.Add(-1) >= 0 {
			out[i] = s.refuse(ctx, g)
			continue
		}
		s.writes.Add(int64(len(g)))
		out[i] = s.Store.Commit(ctx, groups[i:i+1])[0]
	}
	return out
}

// Watch implements store.Watcher.
func (s *spy) Watch(ctx context.Context, announce func([]store.Change, bool)) error {
	return s.Store.(store.Watcher).Watch(ctx, announce)
}

func (s *spy) refuse(ctx context.Context, g store.Group) store.Result {
	reads := make([]store.Read, len(g))
	for i, w := range g {
		reads[i] = store.Read{Key: w.Key}
	}
	current, err := s.Load(ctx, reads)
	if err != nil {
		return store.Result{Outcome: store.Rejected, Err: err}
	}
	return store.Result{Outcome: store.Conflict, Current: current}
}

// conflict has the next n writes of states conflict.
func (s *site) conflict(t testing.TB, n int64) {
	t.Helper()
	send(t, browser(s.routes(nil)), "GET", "/view", "") // stores the signing key
	s.store.conflicts.Store(n)
}

// Features leaves out List, which the wrapper does not have.
func (s *spy) Features() store.Features {
	f := s.Store.Features()
	f.List = false
	return f
}

// site is an App with its store, its log and the clock it was given.
type site struct {
	app     *stay.App
	counter *stay.State[Counter]
	store   *spy
	log     *logBuffer
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newSite(t testing.TB, change ...func(*stay.Options)) *site {
	t.Helper()
	return newSiteOn(t, memstore.New(), change...)
}

// newSiteOn is newSite for a store that others may have, too.
func newSiteOn(t testing.TB, st store.Store, change ...func(*stay.Options)) *site {
	t.Helper()
	s := &site{store: &spy{Store: st}, log: &logBuffer{}}
	o := &stay.Options{Logger: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelInfo}))}
	for _, f := range change {
		f(o)
	}
	s.app = stay.New(s.store, o)
	s.counter = stay.Register(s.app, counterModule)
	t.Cleanup(func() {
		if err := s.app.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// routes serves the counter in each way that the package has.
func (s *site) routes(o *web.Options) http.Handler {
	show := func(w http.ResponseWriter, _ *http.Request, c *Counter) error {
		_, err := fmt.Fprint(w, c.Count)
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/plain", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "plain") })
	mux.HandleFunc("/view", web.View(s.counter, show))
	mux.HandleFunc("/increment", web.Do(s.counter, "increment", show))
	mux.HandleFunc("/add", web.Do(s.counter, "add", show))
	mux.HandleFunc("/fail", web.Do(s.counter, "fail", show))
	mux.HandleFunc("/update", web.Update(s.counter, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		c.Count++
		return show(w, r, c)
	}))
	mux.HandleFunc("/reset", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		c, err := s.counter.Reset(r.Context())
		if err != nil {
			return err
		}
		return show(w, r, c)
	}))
	mux.Handle("/state/", web.Actions(s.counter))
	return web.Sessions(s.app, o)(mux)
}

// inProcess carries a client's requests to a handler without a network. What
// the handler panics with reaches the client's caller.
type inProcess struct{ h http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), r.Body)
	in.Header = r.Header.Clone()
	in.ContentLength = r.ContentLength
	w := httptest.NewRecorder()
	p.h.ServeHTTP(w, in)
	return w.Result(), nil
}

// browser returns a client with its own cookies.
func browser(h http.Handler) *http.Client {
	jar, _ := cookiejar.New(nil)
	return &http.Client{Transport: inProcess{h}, Jar: jar}
}

// answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   string
}

// send makes a request, to http://app.test if url is a path. Every further
// pair is a header.
func send(t testing.TB, c *http.Client, method, url, body string, header ...string) answer {
	t.Helper()
	if strings.HasPrefix(url, "/") {
		url = "http://app.test" + url
	}
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(b)}
}

func (a answer) want(t testing.TB, status int, body string) {
	t.Helper()
	if a.status != status || a.body != body {
		t.Fatalf("got %d %q, want %d %q", a.status, a.body, status, body)
	}
}

// cookie returns the one Set-Cookie line of a session cookie, or "".
func (a answer) cookie(t testing.TB) string {
	t.Helper()
	var found string
	for _, line := range a.header["Set-Cookie"] {
		name, _, _ := strings.Cut(line, "=")
		if name == "stay" || name == "__Host-stay" || name == "__Host-embedded-stay" {
			if found != "" {
				t.Fatalf("two session cookies: %q", a.header["Set-Cookie"])
			}
			found = line
		}
	}
	return found
}
