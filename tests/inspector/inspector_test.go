// Package inspector_test drives the pages of package inspect in a real browser.
package inspector_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/inspect"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
	"github.com/stay-go/stay/tests/browsertest"
	"github.com/stay-go/stay/web"
)

type (
	cart struct {
		Items []item `json:"items"`
		Card  string `json:"card" stay:"private"`
	}
	item struct {
		Tea   string  `json:"tea"`
		Grams int     `json:"grams"`
		Price float64 `json:"price"`
	}
	document struct {
		ID    string   `json:"id" stay:"key"`
		Title string   `json:"title"`
		Lines []string `json:"lines"`
	}
	visits struct {
		Pages []string `json:"pages"`
	}
	counter struct {
		N int `json:"n"`
	}
)

// A shop is a program with an inspector, and some visitors.
type shop struct {
	*httptest.Server
	app    *stay.App
	store  *storefault.Store
	carts  *stay.State[cart]
	docs   *stay.State[document]
	visits *stay.State[visits]
	hits   *stay.State[counter]
	closed atomic.Bool // nobody may see the inspector
}

func open(t *testing.T) *shop {
	t.Helper()
	s := &shop{store: storefault.Wrap(memstore.New(), &storefault.Options{Features: func(f store.Features) store.Features { f.Immediate = false; return f }})}
	s.app = stay.New(s.store, &stay.Options{OnError: func(*stay.Call, *stay.Error) {}})
	t.Cleanup(func() { s.app.Close(context.Background()) })
	s.carts = stay.Register(s.app, stay.Module[cart]{Name: "cart", Formerly: []string{"basket"}, Persist: stay.PerUser})
	s.docs = stay.Register(s.app, stay.Module[document]{Name: "document", Persist: stay.WithKey(func(d *document) string { return d.ID }), Expiry: 90 * 24 * time.Hour})
	s.visits = stay.Register(s.app, stay.Module[visits]{Name: "visits", Persist: stay.PerSession})
	s.hits = stay.Register(s.app, stay.Module[counter]{Name: "hits", Persist: stay.Global, Debounce: 30 * time.Second})
	stay.Register(s.app, stay.Module[counter]{Name: "draft"})

	mux := http.NewServeMux()
	mux.Handle("GET /{$}", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		_, err := fmt.Fprintf(w, "<!doctype html><p id=user>%s</p>", stay.SessionFrom(r.Context()).User())
		return err
	}))
	mux.Handle("GET /work/{user}", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		ctx := r.Context()
		if err := stay.SessionFrom(ctx).Login(ctx, r.PathValue("user")); err != nil {
			return err
		}
		if err := s.work(ctx, r.PathValue("user")); err != nil {
			return err
		}
		_, err := fmt.Fprint(w, "<!doctype html><p id=done>done</p>")
		return err
	}))
	mux.Handle("GET /hits", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		_, err := s.carts.Get(r.Context())
		if err == nil {
			_, err = fmt.Fprint(w, `<!doctype html><p id=hits></p><script>
				new EventSource("/live").addEventListener("hits", e => document.getElementById("hits").textContent = e.data)</script>`)
		}
		return err
	}))
	mux.Handle("GET /live", web.Live(
		web.Part("hits", s.hits, func(w io.Writer, c *counter) error { _, err := fmt.Fprint(w, c.N); return err }),
		web.Part("cart", s.carts, func(w io.Writer, c *cart) error { _, err := fmt.Fprint(w, len(c.Items)); return err }),
	))
	mux.Handle("/debug/stay/", inspect.Handler(s.app, func(*http.Request) bool { return !s.closed.Load() }, &inspect.Options{AllowChanges: true}))
	s.Server = httptest.NewServer(web.Sessions(s.app, nil)(mux))
	t.Cleanup(s.Close)
	return s
}

// work changes the states of a user.
func (s *shop) work(ctx context.Context, user string) error {
	_, err := s.carts.Update(ctx, func(c *cart) error {
		c.Card = "4111 1111 1111 1111"
		c.Items = append(c.Items, item{"Assam", 100, 9.5}, item{"Darjeeling, first flush", 50, 14}, item{"<b>Mint</b>", 75, 4.2})
		return nil
	})
	if err == nil {
		_, err = s.visits.Update(ctx, func(v *visits) error { v.Pages = append(v.Pages, "/", "/tea/assam"); return nil })
	}
	if err == nil {
		_, err = s.docs.At("letters/"+user).Update(ctx, func(d *document) error {
			d.ID, d.Title, d.Lines = "letters/"+user, "A letter of "+user, []string{"Dear all,", "the tea is ready."}
			return nil
		})
	}
	if err == nil {
		_, err = s.hits.Update(ctx, func(c *counter) error { c.N++; return nil })
	}
	return err
}

// The pages in a browser, without JavaScript: from the numbers to a state, from a
// user to a session that is ended, in light and dark and on a phone. Another site
// cannot make a change. STAY_SCREENSHOT=folder writes pictures.
func TestInBrowser(t *testing.T) {
	t.Parallel()
	s := open(t)
	browser := browsertest.Start(t)
	ann, ben := browser.NewPage(t), browser.NewPage(t)
	ann.Goto(s.URL + "/work/ann@example.com")
	ann.WantText("#done", "done")
	ben.Goto(s.URL + "/work/ben@example.com")
	ben.WantText("#done", "done")

	page := browser.NewPage(t)
	page.DisableJavaScript()
	page.Goto(s.URL + "/debug/stay/")
	page.WantText("h1", "Overview")
	page.WantText("#modules tbody tr:first-child th", "cart")
	page.WantValue("the style", `getComputedStyle(document.querySelector("section")).display`, "grid")
	page.WantValue("the icon and the style", `String(performance.getEntriesByType("resource").every(e => e.name.startsWith(location.origin)))`, "true")

	page.Click("#modules tbody tr:first-child a")
	page.WantText("h1", "cart")
	page.Type("#q", "ben\r")
	page.WantText("#states tbody tr:only-child th", "ben@example.com")
	page.Click("#states tbody a")
	page.WantText("h1", "cart, ben@example.com")
	page.WantValue("the state", `String(JSON.parse(document.querySelector("pre").innerText).items[2].tea + JSON.parse(document.querySelector("pre").innerText).card)`, "<b>Mint</b>(private)")

	// A user is signed out, and a session is ended, while its browser looks.
	page.Click("nav a:nth-child(3)")
	page.WantText("#users tbody tr:nth-child(1) th", "ann@example.com")
	page.Click("#users tbody tr:nth-child(1) a")
	page.WantText("#user td a", "ann@example.com")
	ref := page.Eval(`document.querySelector("form[action=sign-out] input").value`)
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<form method="post" action="%s/debug/stay/sign-out"><input name="at" value="%s"><button>win</button></form>`, s.URL, ref)
	}))
	defer evil.Close()
	attacked := browser.NewPage(t)
	attacked.Goto(strings.Replace(evil.URL, "127.0.0.1", "localhost", 1))
	attacked.Click("button")
	attacked.WantValue("the answer", `document.body.innerText.trim()`, "this request came from another site")
	ann.Goto(s.URL + "/")
	ann.WantText("#user", "ann@example.com")

	page.Click("form[action=sign-out] button")
	page.WantText(".notice", "The user is signed out everywhere.")
	ann.Reload()
	ann.WantText("#user", "")
	page.Click("nav a:nth-child(2)")
	page.WantText("#sessions tbody tr:only-child td", "ben@example.com")
	page.Click("#sessions tbody th a")
	page.WantText("#session tbody tr:nth-child(1) th", "cart")
	page.Click("form[action=end-session] button")
	page.WantText(".notice", "The session has ended, with its states.")
	page.WantText("#sessions p:last-of-type", "No session is stored. A visitor who only reads has none.")
	ben.Goto(s.URL + "/")
	ben.WantText("#user", "")
}

// Nothing is wider than the window of a phone, in light or dark: tables scroll in
// their own box.
func TestFitsAPhone(t *testing.T) {
	t.Parallel()
	s := open(t)
	browser := browsertest.Start(t)
	s.fill(t, browser)
	page := browser.NewPage(t)
	for _, user := range []string{"ann@example.com", "ben@example.com", "dan@example.com"} {
		visitor := browser.NewPage(t)
		visitor.Goto(s.URL + "/work/" + user)
		visitor.WantText("#done", "done")
		visitor.Goto(s.URL + "/hits")
		visitor.WantValue("the stream", `String(document.querySelector("#hits").textContent != "")`, "true")
	}
	for _, look := range []struct {
		width  int64
		scheme string
	}{{1200, "light"}, {1200, "dark"}, {390, "light"}, {390, "dark"}, {320, "light"}} {
		page.Look(look.width, 900, look.scheme)
		page.Goto(s.URL + "/debug/stay/")
		wantFits(t, page, look.width)
		picture(t, page, "overview", look.width, look.scheme)
		page.Eval(`(scrollTo(0, document.querySelector("#modules").offsetTop - 8), "")`)
		picture(t, page, "overview-below", look.width, look.scheme)
		page.Click("#modules tbody tr:nth-child(2) a")
		page.WantText("h1", "document")
		wantFits(t, page, look.width)
		picture(t, page, "module", look.width, look.scheme)
		page.Goto(s.URL + "/debug/stay/module?name=cart&q=ann")
		page.Click("#states tbody a")
		page.WantText("#state h2", "State")
		wantFits(t, page, look.width)
		picture(t, page, "state", look.width, look.scheme)
		page.Click("nav a:nth-child(2)")
		page.WantText("h1", "Sessions")
		wantFits(t, page, look.width)
		picture(t, page, "sessions", look.width, look.scheme)
		page.Click("#sessions tbody th a")
		page.WantText("#session h2", "States")
		wantFits(t, page, look.width)
		picture(t, page, "session", look.width, look.scheme)
		page.Click("nav a:nth-child(4)")
		page.WantText("#streams h2", "Watched states")
		wantFits(t, page, look.width)
		picture(t, page, "streams", look.width, look.scheme)
		page.Click("nav a:nth-child(3)")
		page.WantText("h1", "Users")
		page.Click("#users tbody a")
		page.WantText("#user h2", "Sessions")
		wantFits(t, page, look.width)
		picture(t, page, "user", look.width, look.scheme)
	}
	rule := s.store.Add(storefault.Rule{Fault: storefault.Fail(store.ErrUnavailable)})
	page.Look(390, 900, "light")
	page.Goto(s.URL + "/debug/stay/sessions")
	wantFits(t, page, 390)
	picture(t, page, "failing", 390, "light")
	page.Look(1200, 900, "light")
	page.Goto(s.URL + "/debug/stay/")
	picture(t, page, "failing", 1200, "light")
	rule.Remove()
}

// wantFits waits until the page is there, and compares its width with the window's.
func wantFits(t *testing.T, page *browsertest.Page, width int64) {
	t.Helper()
	page.WantValue("the width", `String(document.documentElement.scrollWidth)`, fmt.Sprint(width))
}

// fill gives the shop visitors and ten minutes of work with some failures: what the
// inspector draws is the time since it was mounted, so the pictures take a while.
func (s *shop) fill(t *testing.T, browser *browsertest.Browser) {
	t.Helper()
	for i, user := range []string{"ann@example.com", "ben@example.com", "chris", "日本さん", `<img src=x onerror="alert(1)">`} {
		p := browser.NewPage(t)
		p.Goto(s.URL + "/work/" + strings.ReplaceAll(user, "/", "%2F"))
		p.WantText("#done", "done")
		for n := range 8 {
			if err := s.work(context.Background(), fmt.Sprintf("%d-%d", i, n)); err == nil {
				t.Fatal("a session without a request")
			}
			key := fmt.Sprintf("minutes/2026-%02d-%02d", i+1, n+1)
			if _, err := s.docs.At(key).Update(t.Context(), func(d *document) error { d.ID, d.Title = key, "Minutes"; return nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, f := range []struct {
		key string
		err error
	}{{"letters/eve", errors.New("row is damaged")}, {"letters/dan", store.ErrCorrupt}, {"letters/eve", store.ErrUnavailable}} {
		rule := s.store.Add(storefault.Rule{Op: storefault.Load, Key: "key/document/" + f.key, Fault: storefault.Fail(f.err)})
		if _, err := s.docs.At(f.key).Get(t.Context()); err == nil {
			t.Fatal("no error")
		}
		rule.Remove()
	}
	if os.Getenv("STAY_SCREENSHOT") == "" {
		return
	}
	until := time.After(3 * time.Minute)
	for i := 0; ; i++ {
		select {
		case <-until:
			return
		case <-time.After(time.Duration(20+i%97*3) * time.Millisecond):
		}
		delay := time.Duration(2+i*i%9) * time.Millisecond
		rule := s.store.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Delay(delay, 0)})
		key := fmt.Sprintf("minutes/2026-%02d-%02d", i%5+1, i%8+1)
		if _, err := s.docs.At(key).Update(t.Context(), func(d *document) error { d.Lines = []string{fmt.Sprint(i)}; return nil }); err != nil {
			t.Fatal(err)
		}
		rule.Remove()
	}
}

// picture writes a picture of the window, if STAY_SCREENSHOT names a folder.
func picture(t *testing.T, page *browsertest.Page, name string, width int64, scheme string) {
	t.Helper()
	folder := os.Getenv("STAY_SCREENSHOT")
	if folder == "" {
		return
	}
	page.WantText("#live", "live")
	name = fmt.Sprintf("%s-%d-%s.png", name, width, scheme)
	if err := os.WriteFile(filepath.Join(folder, name), page.Screenshot(), 0o600); err != nil {
		t.Fatal(err)
	}
}
