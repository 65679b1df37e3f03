package inspect_test

import (
	"bytes"
	"cmp"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/inspect"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
	"github.com/stay-go/stay/web"
)

// The states of the site. Each has something that nobody may see.
type (
	Cart struct {
		Items []Item `json:"items"`
		Card  string `json:"card" stay:"private"`
	}
	Item struct {
		Name string `json:"name"`
		Cost string `json:"cost" stay:"private"`
	}
	Visit struct {
		Page  string `json:"page"`
		Token string `json:"token" stay:"private"`
	}
	Doc struct {
		ID   string `json:"id" stay:"key"`
		Text string `json:"text"`
		Note string `json:"note" stay:"private"`
	}
	Hits struct {
		N   int    `json:"n"`
		Key string `json:"key" stay:"private"`
	}
)

// private are the values of the private fields.
var private = []string{"card-4111", "cost-0815", "token-7777", "note-4242", "key-9999"}

// A site is a program with an inspector.
type site struct {
	t      testing.TB
	app    *stay.App
	store  *storefault.Store
	memory *memstore.Store
	carts  *stay.State[Cart]
	visits *stay.State[Visit]
	docs   *stay.State[Doc]
	hits   *stay.State[Hits]
	draft  *stay.State[Visit]
	log    *buffer
	url    string // of the site
	at     string // of the inspector
	path   string
}

// A buffer is a log.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// setup says what is different from a site with an inspector for everybody.
type setup struct {
	inspect *inspect.Options
	options stay.Options
	refuses bool                            // allow refuses
	mount   func(http.Handler) http.Handler // around the inspector
	outside bool                            // of web.Sessions
}

const mountPath = "/debug/stay/"

// newApp returns an App with modules of each strategy.
func newApp(t testing.TB, opts stay.Options) *site {
	t.Helper()
	s := &site{t: t, memory: memstore.New(), log: &buffer{}}
	s.store = storefault.Wrap(s.memory, nil)
	opts.Logger = slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.app = testkit.NewApp(t, s.store, &opts)
	s.carts = stay.Register(s.app, stay.Module[Cart]{Name: "cart", Persist: stay.PerUser, Version: 2, Migrate: upgrades})
	s.visits = stay.Register(s.app, stay.Module[Visit]{Name: "visit", Persist: stay.PerSession})
	s.docs = stay.Register(s.app, stay.Module[Doc]{Name: "doc", Persist: stay.WithKey(func(d *Doc) string { return d.ID })})
	s.hits = stay.Register(s.app, stay.Module[Hits]{Name: "hits", Persist: stay.Global})
	s.draft = stay.Register(s.app, stay.Module[Visit]{Name: "draft"})
	return s
}

// newSite serves the App with an inspector.
func newSite(t testing.TB, how setup) *site {
	t.Helper()
	s := newApp(t, how.options)
	mux := http.NewServeMux()
	mux.Handle("POST /login", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		return stay.SessionFrom(r.Context()).Login(r.Context(), r.FormValue("user"))
	}))
	mux.Handle("POST /work", web.Handle(func(w http.ResponseWriter, r *http.Request) error { return s.work(r, r.FormValue("word")) }))
	mux.Handle("GET /user", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		_, err := io.WriteString(w, stay.SessionFrom(r.Context()).User())
		return err
	}))
	pages := inspect.Handler(s.app, func(*http.Request) bool { return !how.refuses }, how.inspect)
	if how.mount != nil {
		pages = how.mount(pages)
	}
	var handler http.Handler
	if how.outside {
		outer := http.NewServeMux()
		outer.Handle(mountPath, pages)
		outer.Handle("/", web.Sessions(s.app, nil)(mux))
		handler = outer
	} else {
		mux.Handle(mountPath, pages)
		handler = web.Sessions(s.app, nil)(mux)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	s.url, s.at, s.path = server.URL, server.URL+mountPath, mountPath
	return s
}

// work changes a state of each module.
func (s *site) work(r *http.Request, word string) error {
	ctx := r.Context()
	_, err := s.carts.Update(ctx, func(c *Cart) error {
		c.Items, c.Card = append(c.Items, Item{word, "cost-0815"}), "card-4111"
		return nil
	})
	if err == nil {
		_, err = s.visits.Update(ctx, func(v *Visit) error { v.Page, v.Token = word, "token-7777"; return nil })
	}
	if err == nil {
		_, err = s.docs.At(word).Update(ctx, func(d *Doc) error { d.ID, d.Text, d.Note = word, word, "note-4242"; return nil })
	}
	if err == nil {
		_, err = s.hits.Update(ctx, func(h *Hits) error { h.N++; h.Key = "key-9999"; return nil })
	}
	if err == nil {
		_, err = s.draft.Update(ctx, func(v *Visit) error { v.Page, v.Token = word, "token-7777"; return nil })
	}
	return err
}

// A visitor is a browser.
type visitor struct {
	site   *site
	client *http.Client
	agent  string
}

func (s *site) visitor(agent string) *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &visitor{s, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, agent}
}

// comes logs a visitor in, who then works.
func (s *site) comes(user, word string) *visitor {
	s.t.Helper()
	v := s.visitor("Browser of " + cmp.Or(user, "a guest"))
	if user != "" {
		v.must("POST", s.url+"/login", url.Values{"user": {user}})
	}
	v.must("POST", s.url+"/work", url.Values{"word": {word}})
	return v
}

// cookie is the value of the visitor's cookie.
func (v *visitor) cookie() string {
	u, err := url.Parse(v.site.url)
	if err != nil {
		v.site.t.Fatal(err)
	}
	for _, c := range v.client.Jar.Cookies(u) {
		if c.Name == "stay" {
			return c.Value
		}
	}
	v.site.t.Fatal("the visitor has no cookie")
	return ""
}

func (v *visitor) send(method, address string, form url.Values, header ...string) (*http.Response, string) {
	v.site.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(v.site.t.Context(), method, address, body)
	if err != nil {
		v.site.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("User-Agent", v.agent)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := v.client.Do(r)
	if err != nil {
		v.site.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		v.site.t.Fatal(err)
	}
	return resp, string(text)
}

func (v *visitor) must(method, address string, form url.Values) string {
	v.site.t.Helper()
	resp, body := v.send(method, address, form)
	if resp.StatusCode != http.StatusOK {
		v.site.t.Fatalf("%s %s: %s\n%s", method, address, resp.Status, body)
	}
	return body
}

// get returns a page of the inspector, which must be there.
func (s *site) get(page string) string {
	s.t.Helper()
	return s.visitor("an admin").must("GET", s.at+page, nil)
}

var links = regexp.MustCompile(`(?:href|action)="([^"]*)"`)

// linksOf returns the links and the forms of a page, without the host, as a browser
// finds them there.
func linksOf(page string) (all []string) {
	for _, m := range links.FindAllStringSubmatch(page, -1) {
		all = append(all, html.UnescapeString(m[1]))
	}
	return all
}

// follow returns the page that the link with a text leads to.
func (s *site) follow(page, text string) string {
	s.t.Helper()
	m := regexp.MustCompile(`<a href="([^"]*)"[^>]*>(?:<code>)?` + regexp.QuoteMeta(text) + `(?:</code>)?</a>`).FindStringSubmatch(page)
	if m == nil {
		s.t.Fatalf("no link %q in\n%s", text, page)
	}
	return s.get(html.UnescapeString(m[1]))
}

// crawl returns all pages that links lead to, by their address.
func (s *site) crawl() map[string]string {
	s.t.Helper()
	seen := map[string]string{}
	admin := s.visitor("an admin")
	base, err := url.Parse(s.at)
	if err != nil {
		s.t.Fatal(err)
	}
	for next := []string{s.at}; len(next) > 0; next = next[1:] {
		if _, done := seen[next[0]]; done {
			continue
		}
		resp, body := admin.send("GET", next[0], nil)
		seen[next[0]] = body + headerText(resp)
		if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
			continue
		}
		from, err := base.Parse(next[0])
		if err != nil {
			s.t.Fatal(err)
		}
		for _, link := range linksOf(body) {
			to, err := from.Parse(link)
			if err != nil {
				s.t.Fatalf("%s has the link %q: %v", next[0], link, err)
			}
			if !strings.HasPrefix(to.String(), s.at) {
				s.t.Errorf("%s links to %s", next[0], to)
				continue
			}
			next = append(next, to.String())
		}
	}
	return seen
}

func headerText(resp *http.Response) string {
	var b strings.Builder
	_ = resp.Header.Write(&b)
	return b.String()
}

// sessionIDs returns the ids of all stored sessions.
func (s *site) sessionIDs() (ids []string) {
	s.t.Helper()
	for session, err := range s.app.AllSessions(s.t.Context(), "") {
		if err != nil {
			s.t.Fatal(err)
		}
		ids = append(ids, session.ID())
	}
	return ids
}

func wantIn(t testing.TB, what, page string, words ...string) {
	t.Helper()
	text := html.UnescapeString(page)
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%s does not show %q:\n%s", what, w, text)
		}
	}
}

func wantNotIn(t testing.TB, what, page string, words ...string) {
	t.Helper()
	for _, w := range words {
		if w != "" && strings.Contains(page, w) {
			t.Errorf("%s shows %q", what, w)
		}
	}
}

// rowsOf returns the texts of the first cells of a page's tables.
func rowsOf(page string) (names []string) {
	for _, m := range regexp.MustCompile(`<th scope="row">(.*?)</th>`).FindAllStringSubmatch(page, -1) {
		names = append(names, html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(m[1], "")))
	}
	return names
}
