// Package pageload_test proves, with the requests of a real browser, which of
// them load a page and what that does to the state of a session.
package pageload_test

import (
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/tests/browsertest"
	"github.com/stay-go/stay/web"
)

// patience is how long a request may be awaited; nothing waits for it to pass.
const patience = 30 * time.Second

// Draft is what the site keeps for a visitor: the text until the next page
// load, the name until the session ends.
type Draft struct {
	Text string `json:"text"`
	Name string `json:"name" stay:"preserve"`
}

//go:embed testdata/htmx-4.0.1.min.js
var htmx4 []byte

//go:embed testdata/page.html
var pageHTML string

var page = template.Must(template.New("page").Parse(pageHTML))

// A site serves pages that hold every way to another page, and notes what
// arrives, once page loads have had their effect and before the handler runs.
type site struct {
	t       *testing.T
	url     string
	port    string
	draft   *stay.State[Draft]
	mu      sync.Mutex
	seen    []*http.Request
	arrived chan struct{} // has a token if seen has grown
	session string        // of the latest visitor
	filled  Draft         // the state before what is tried
}

func newSite(t *testing.T) *site {
	t.Helper()
	htmx2, err := os.ReadFile("../../examples/internal/serve/static/htmx-2.0.11.min.js")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, arrived: make(chan struct{}, 1), filled: Draft{Text: "typed", Name: "ann"}}
	app := stay.New(memstore.New(), nil)
	s.draft = stay.Register(app, stay.Module[Draft]{Name: "draft", Persist: stay.PerSession, ResetOnPageLoad: true})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page/{name}", web.View(s.draft, func(w http.ResponseWriter, r *http.Request, d *Draft) error {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		return page.Execute(w, map[string]any{"Draft": d, "Page": r.PathValue("name"), "V": r.FormValue("v")})
	}))
	mux.HandleFunc("POST /fill", web.Update(s.draft, func(_ http.ResponseWriter, _ *http.Request, d *Draft) error {
		*d = s.filled
		return nil
	}))
	mux.HandleFunc("POST /post", web.Update(s.draft, func(w http.ResponseWriter, r *http.Request, d *Draft) error {
		*d = Draft{Text: "posted", Name: "posted"}
		http.Redirect(w, r, "/page/after-post?v="+r.FormValue("v"), http.StatusSeeOther)
		return nil
	}))
	mux.HandleFunc("/part/{name}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "part %s", r.PathValue("name"))
	})
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: x\n\n")
	})
	serve := web.Sessions(app, nil)(s.note(mux))
	root := http.NewServeMux()
	root.Handle("/", serve)
	for name, script := range map[string][]byte{"/htmx2.js": htmx2, "/htmx4.js": htmx4} {
		root.HandleFunc(name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = w.Write(script)
		})
	}
	server := httptest.NewServer(root)
	s.url, s.port = server.URL, server.URL[strings.LastIndex(server.URL, ":"):]
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		if err := app.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// note remembers a request, as it stands before its handler.
func (s *site) note(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.seen = append(s.seen, r.Clone(context.Background()))
		s.session = stay.SessionFrom(r.Context()).ID()
		s.mu.Unlock()
		select {
		case s.arrived <- struct{}{}:
		default:
		}
		next.ServeHTTP(w, r)
	})
}

// await returns the request for a path, which may have arrived already.
func (s *site) await(path string) *http.Request {
	s.t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	for {
		if r := s.find(path); r != nil {
			return r
		}
		select {
		case <-s.arrived:
		case <-end.C:
			s.t.Fatalf("no request for %s; there were %s", path, s.paths())
		}
	}
}

func (s *site) find(path string) *http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.seen {
		if r.URL.Path == path {
			return r
		}
	}
	return nil
}

// paths lists what has arrived.
func (s *site) paths() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, r := range s.seen {
		out = append(out, r.Method+" "+r.URL.Path)
	}
	return out
}

func (s *site) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = nil
}

// prerenders tells whether the browser prerenders pages at all. It does not on
// a machine that it takes to be short of memory, whatever the server does.
func (s *site) prerenders(b *browsertest.Browser) bool {
	s.t.Helper()
	p := s.visit(b, s.url+"/page/start?v=0")
	p.Eval(speculate("prerender", "/page/probe") + `; ""`)
	end := time.NewTimer(patience / 3)
	defer end.Stop()
	for s.find("/page/probe") == nil {
		select {
		case <-s.arrived:
		case <-end.C:
			s.t.Log("the browser does not prerender here: what it sends elsewhere is sent for it, and that it shows the page is not checked")
			return false
		}
	}
	return true
}

// sendPrerender sends what Chromium 156 sends to prerender a page.
func (s *site) sendPrerender(p *browsertest.Page) {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodGet, s.url+"/page/prerendered", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range p.Cookies(s.url) {
		r.AddCookie(c)
	}
	r.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8")
	r.Header.Set("Sec-Purpose", "prefetch;prerender")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Site", "none")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// visit opens a page in a profile of its own and begins a session there.
func (s *site) visit(b *browsertest.Browser, url string) *browsertest.Page {
	s.t.Helper()
	p := b.NewPage(s.t)
	p.Goto(url)
	p.Eval(`fetch("/fill", {method: "POST"}).then(() => document.body.dataset.filled = "yes"); ""`)
	p.WantAttribute("body", "data-filled", "yes")
	return p
}

// fill sets the state of the latest visitor, without a request, and forgets
// what has arrived.
func (s *site) fill() {
	s.t.Helper()
	s.forget()
	if _, err := s.visitor().Update(context.Background(), func(d *Draft) error { *d = s.filled; return nil }); err != nil {
		s.t.Fatal(err)
	}
}

// visitor is the state of the latest one.
func (s *site) visitor() *stay.State[Draft] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draft.At(s.session)
}

func (s *site) want(want Draft) {
	s.t.Helper()
	got, err := s.visitor().Get(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	if *got != want {
		s.t.Errorf("the state is %+v, want %+v", *got, want)
	}
}

// A kind is a way in which a browser asks for something.
type kind struct {
	name string
	// from is the page that it begins on; "" is the plain one.
	from string
	do   func(p *browsertest.Page)
	// path is what arrives.
	path string
	// headers are what tells the kind, as "Name: value"; a value "absent"
	// means that the header is not sent.
	headers []string
	// load: it is a page load.
	load bool
	// visitor is the name afterwards, if it is another.
	visitor string
	// apart: it is shown elsewhere.
	apart bool
}

// run does each kind and checks what arrived and what it did.
func (s *site) run(b *browsertest.Browser, base string, kinds []kind) {
	p := s.visit(b, base+"/page/start?v=0")
	t := s.t
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			s.t = t
			p.Goto(base + "/page/start?v=" + k.from)
			s.filled.Name = k.name // which tells the new page from the old one
			s.fill()
			k.do(p)
			r := s.await(k.path)
			for _, line := range k.headers {
				name, want, _ := strings.Cut(line, ": ")
				got := r.Header.Get(name)
				if want == "absent" {
					want = ""
				}
				if got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if t.Failed() || testing.Verbose() {
				t.Log(describe(r))
			}
			want := s.filled
			if k.visitor != "" {
				want.Name = k.visitor
			}
			if k.load {
				want.Text = ""
				if !k.apart {
					p.WantText("#name", want.Name)
					p.WantText("#text", "")
				}
			}
			s.want(want)
		})
	}
	s.t = t
}

// describe writes the headers that matter.
func describe(r *http.Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s%s", r.Method, r.Host, r.URL)
	var names []string
	for name := range r.Header {
		if name == "Accept" || strings.HasPrefix(name, "Sec-Fetch") || strings.HasPrefix(name, "Hx-") || strings.HasSuffix(name, "Purpose") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, " | %s: %s", name, r.Header.Get(name))
	}
	return b.String()
}
