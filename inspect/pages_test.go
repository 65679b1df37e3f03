package inspect_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/inspect"
	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// upgrades are the steps of the carts.
var upgrades = map[int]func(json.RawMessage) (json.RawMessage, error){
	1: func(b json.RawMessage) (json.RawMessage, error) { return b, nil },
}

// From the first page, links lead to each module, its states, each session and
// each user.
func TestPagesShowWhatTheAppHas(t *testing.T) {
	s := newSite(t, setup{})
	s.comes("ann", "tea")
	s.comes("ann", "cake")
	s.comes("", "milk")

	first := s.get("")
	wantIn(t, "the overview", first, "cart", "PerUser", "PerSession", "WithKey", "Global", "session, ephemeral", "storefault.Store", "None was reported.")
	module := s.follow(first, "cart")
	wantIn(t, "the module", module, "2, reads from 1 on")
	state := s.follow(module, "ann")
	wantIn(t, "the state", state, `"name": "tea"`, `"name": "cake"`, `"cost": "(private)"`, `"card": "(private)"`, keyspace.Hash("ann"), "never", "in memory")
	wantIn(t, "the shared state", s.follow(s.follow(first, "hits"), "everybody"), `"n": 3`)
	docs := s.follow(first, "doc")
	if got := strings.Join(rowsOf(docs), " "); got != "cake milk tea" {
		t.Errorf("the documents are %q", got)
	}
	wantIn(t, "the ephemeral module", s.follow(first, "draft"), "Each session has its own")

	users := s.follow(first, "Users")
	if got := strings.Join(rowsOf(users), " "); got != "ann" {
		t.Errorf("the users are %q", got)
	}
	user := s.follow(users, "ann")
	wantIn(t, "the user", user, "Browser of ann", keyspace.Hash("ann"))
	wantIn(t, "the user's cart", s.follow(user, "cart"), `"name": "cake"`)

	sessions := s.follow(first, "Sessions")
	ids := s.sessionIDs()
	if got := rowsOf(sessions); len(got) != 3 {
		t.Fatalf("the sessions are %q", got)
	}
	guests := 0
	for _, id := range ids {
		one := s.follow(sessions, keyspace.Hash(id))
		visit := s.follow(one, "visit")
		if strings.Contains(one, "<dd>guest</dd>") {
			guests++
			wantIn(t, "the guest's visit", visit, `"page": "milk"`)
			wantIn(t, "the guest's draft", s.follow(one, "draft"), `"page": "milk"`)
			wantIn(t, "the guest's cart", s.follow(one, "cart"), `"name": "milk"`)
		} else {
			wantIn(t, "ann's visit", visit, `"page": "`)
			wantIn(t, "ann's cart", s.follow(one, "cart"), `"name": "tea"`, `"name": "cake"`)
		}
		wantIn(t, "the document of a session without one", s.follow(one, "doc"), "the owner has the initial state")
	}
	if guests != 1 {
		t.Errorf("%d sessions are those of guests", guests)
	}

	// What the table of modules counts: stored, in memory, guests in memory.
	for module, want := range map[string]string{"cart": "2 1 1 1", "visit": "1 3 3 0", "doc": "1 3 3 0", "hits": "1 1 1 0", "draft": "1 – 0 3"} {
		m := regexp.MustCompile(`>` + module + `</a></th><td>[^<]*</td><td class="n">(.*?)</td><td class="n">(.*?)</td><td class="n">(.*?)</td><td class="n">.*?</td><td class="n">(.*?)</td>`).FindStringSubmatch(first)
		if m == nil {
			t.Errorf("no row of %s", module)
		} else if got := strings.Join(m[1:], " "); got != want {
			t.Errorf("%s: %s, want %s", module, got, want)
		}
	}
}

// No page, no address and no line of the log has a private field, a cookie, a
// signing key or the id of a session.
//
// Proves X11.
func TestSecretsAreNowhere(t *testing.T) {
	s := newSite(t, setup{inspect: &inspect.Options{AllowChanges: true}})
	secrets := append([]string(nil), private...)
	// They are too long to be in a random text by chance.
	users, operator := []string{"annabel-of-the-shop", "benedict-of-the-shop", ""}, "the-operator"
	for _, user := range users {
		v := s.comes(user, "tea")
		cookie := v.cookie()
		secrets = append(secrets, cookie)
		secrets = append(secrets, strings.FieldsFunc(cookie, func(r rune) bool { return r == '.' || r == '~' || r == '|' })...)
	}
	ids := s.sessionIDs()
	secrets = append(secrets, ids...)
	keys := testkit.RecordOf(t, s.memory, "stay/keys")
	var stored map[string]any
	if err := json.Unmarshal(keys.Value, &stored); err != nil {
		t.Fatal(err)
	}
	found := 0
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, one := range v {
				walk(one)
			}
		case []any:
			for _, one := range v {
				walk(one)
			}
		case string:
			if len(v) < 32 {
				return
			}
			found++
			secrets = append(secrets, v)
			if b, err := base64.StdEncoding.DecodeString(v); err == nil {
				secrets = append(secrets, hex.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b), string(b))
			}
		}
	}
	walk(stored)
	if found == 0 || len(ids) != 3 {
		t.Fatalf("%d secrets in %s, %d sessions", found, keys.Value, len(ids))
	}

	pages := s.crawl()
	for address, page := range pages {
		wantNotIn(t, address, page, secrets...)
		wantNotIn(t, "an address", address, append(secrets, users[:2]...)...)
	}
	for _, id := range ids {
		if !strings.Contains(pages[s.at+"sessions"], keyspace.Hash(id)) {
			t.Errorf("the sessions do not show %s", keyspace.Hash(id))
		}
	}
	for _, kind := range []string{"module?", "state?", "session?", "user?", "sessions", "users", "style.css"} {
		n := 0
		for address := range pages {
			if strings.HasPrefix(address, s.at+kind) {
				n++
			}
		}
		if n == 0 {
			t.Errorf("no page %s was seen", kind)
		}
	}

	// Changes are logged, with hashes.
	admin := s.comes(operator, "work")
	secrets = append(secrets, s.sessionIDs()...)
	for _, user := range users[:2] {
		page := s.follow(s.get("users"), user)
		post(t, s, admin, page, "sign-out")
	}
	for _, id := range ids {
		if page := s.get("sessions"); strings.Contains(page, keyspace.Hash(id)) {
			post(t, s, admin, s.follow(page, keyspace.Hash(id)), "end-session")
		}
	}
	log := s.log.String()
	wantNotIn(t, "the log", log, append(secrets, users[0], users[1], operator)...)
	wantIn(t, "the log", log, "a user was signed out everywhere in the inspector", "a session was ended in the inspector", keyspace.Hash(users[0]), `by="session `)
}

// post sends the form of a page.
func post(t *testing.T, s *site, v *visitor, page, action string) {
	t.Helper()
	m := regexp.MustCompile(`action="` + action + `"><input type="hidden" name="at" value="([^"]*)">`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no form %s in\n%s", action, page)
	}
	resp, body := v.send("POST", s.at+action, url.Values{"at": {m[1]}}, "Sec-Fetch-Site", "same-origin")
	if resp.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s: %s\n%s", action, resp.Status, body)
	}
	to, err := resp.Location()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(to.String(), s.at) {
		t.Errorf("%s leads to %s", action, to)
	}
	if text := v.must("GET", to.String(), nil); !strings.Contains(text, `role="status"`) {
		t.Errorf("after %s the page does not say so:\n%s", action, text)
	}
}

// Where the program refuses, there is nothing: no page, no style sheet, no header
// that shows what is there.
//
// Proves X11.
func TestRefusedVisitorsSeeNothing(t *testing.T) {
	s := newSite(t, setup{refuses: true, inspect: &inspect.Options{AllowChanges: true}})
	s.comes("ann", "tea")
	v := s.visitor("a stranger")
	nothing, want := v.send("GET", s.url+"/nothing", nil)
	for _, path := range []string{"", "module?name=cart", "state?at=x", "sessions", "session?at=x", "users", "user?at=x", "streams", "style.css", "icon.svg", "live.js", "end-session", "sign-out", "x"} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT"} {
			for _, accept := range []string{"*/*", "text/event-stream"} {
				resp, body := v.send(method, s.at+path, nil, "Sec-Fetch-Site", "same-origin", "Accept", accept)
				if resp.StatusCode != http.StatusNotFound || method != "HEAD" && body != want {
					t.Errorf("%s %q: %s, %q", method, path, resp.Status, body)
				}
				for name := range resp.Header {
					if _, also := nothing.Header[name]; !also {
						t.Errorf("%s %q: the header has %s", method, path, name)
					}
				}
			}
		}
	}
}

// Without a function that says who may see them, there are no pages.
//
// Proves X11.
func TestNobodySeesPagesByAccident(t *testing.T) {
	app := testkit.NewApp(t, memstore.New(), nil)
	testkit.WantPanic(t, func() { inspect.Handler(app, nil, nil) }, "who may see")
	testkit.WantPanic(t, func() { inspect.Handler(nil, func(*http.Request) bool { return true }, nil) }, "stay.New")
}

// Pages that only show refuse every change, and have no form that makes one.
//
// Proves X11.
func TestReadOnlyUnlessChangesAreAllowed(t *testing.T) {
	s := newSite(t, setup{})
	ann := s.comes("ann", "tea")
	for address, page := range s.crawl() {
		if strings.Contains(page, `method="post"`) {
			t.Errorf("%s has a form that posts", address)
		}
	}
	ref := refOf(t, s.get("users"), "user")
	for _, path := range []string{"", "sign-out", "end-session", "users"} {
		resp, _ := ann.send("POST", s.at+path, url.Values{"at": {ref}}, "Sec-Fetch-Site", "same-origin")
		if resp.StatusCode != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %q: %s, allowed %q", path, resp.Status, resp.Header.Get("Allow"))
		}
	}
	if got := ann.must("GET", s.url+"/user", nil); got != "ann" {
		t.Errorf("the user is now %q", got)
	}
}

// refOf returns the first link of a page to a kind of page.
func refOf(t *testing.T, page, kind string) string {
	t.Helper()
	m := regexp.MustCompile(`href="` + kind + `\?at=([^"]*)"`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no link to a %s in\n%s", kind, page)
	}
	return m[1]
}

// A change comes from the inspector's own page: neither from other sites, nor by a
// link, nor with something else than a link of this process names.
//
// Proves X11.
func TestChangesComeFromOwnPages(t *testing.T) {
	for name, outside := range map[string]bool{"inside of Sessions": false, "outside of Sessions": true} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, setup{inspect: &inspect.Options{AllowChanges: true}, outside: outside})
			ann, ben := s.comes("ann", "tea"), s.comes("ben", "tea")
			page := s.get("users")
			ref := refOf(t, page, "user")
			form := url.Values{"at": {ref}}
			for _, c := range []struct {
				what, method, path string
				form               url.Values
				header             []string
				want               int
			}{
				{"another site", "POST", "sign-out", form, []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
				{"a sibling of the domain", "POST", "sign-out", form, []string{"Sec-Fetch-Site", "same-site"}, http.StatusForbidden},
				{"another origin", "POST", "sign-out", form, []string{"Origin", "https://evil.test"}, http.StatusForbidden},
				{"a link", "GET", "sign-out?at=" + ref, nil, nil, http.StatusNotFound},
				{"another method", "PUT", "sign-out", form, nil, http.StatusMethodNotAllowed},
				{"a name that is not sealed", "POST", "sign-out", url.Values{"at": {"ann"}}, nil, http.StatusNotFound},
				{"a user for a session", "POST", "end-session", form, nil, http.StatusNotFound},
				{"no name", "POST", "sign-out", url.Values{}, nil, http.StatusNotFound},
				{"a large form", "POST", "sign-out", url.Values{"at": {strings.Repeat("a", 1<<20)}}, nil, http.StatusBadRequest},
			} {
				if resp, body := s.visitor("x").send(c.method, s.at+c.path, c.form, c.header...); resp.StatusCode != c.want {
					t.Errorf("%s: %s, want %d\n%s", c.what, resp.Status, c.want, body)
				}
			}
			if got := ann.must("GET", s.url+"/user", nil); got != "ann" {
				t.Errorf("the user is now %q", got)
			}

			post(t, s, s.visitor("an admin"), s.follow(page, "ann"), "sign-out")
			if got := ann.must("GET", s.url+"/user", nil); got != "" {
				t.Errorf("after the sign-out the user is %q", got)
			}
			if got := ben.must("GET", s.url+"/user", nil); got != "ben" {
				t.Errorf("the other user is now %q", got)
			}
			session := s.get("session?at=" + refOf(t, s.get("sessions"), "session"))
			post(t, s, s.visitor("an admin"), session, "end-session")
			if got := ben.must("GET", s.url+"/user", nil); got != "" {
				t.Errorf("after the end of the session the user is %q", got)
			}
			if ids := s.sessionIDs(); len(ids) != 0 {
				t.Errorf("the sessions are %q", ids)
			}
			// Once more, as after Back.
			post(t, s, s.visitor("an admin"), session, "end-session")
		})
	}
}

// ownScript is the one script of pages.
const ownScript = `<script src="live.js" defer></script>`

// What visitors write is text: in keys, values, names of users and of browsers.
//
// Proves X11.
func TestNamesAreText(t *testing.T) {
	const evil = `"><img src=x onerror=alert(1)><script>alert(2)</script>'&amp;{{.}}`
	const bidi = "a\u202eb\x00c\xff"
	s := newSite(t, setup{})
	for i, word := range []string{evil, bidi} {
		v := s.visitor(evil + strconv.Itoa(i))
		v.must("POST", s.url+"/login", url.Values{"user": {word}})
		v.must("POST", s.url+"/work", url.Values{"word": {word}})
	}
	pages := s.crawl()
	if len(pages) < 10 {
		t.Errorf("only %d pages", len(pages))
	}
	pages["a search"] = s.get("module?name=doc&q=" + url.QueryEscape(evil))
	pages["a search for users"] = s.get("users?q=" + url.QueryEscape(evil))
	pages["a search for sessions"] = s.get("sessions?q=" + url.QueryEscape(evil))
	resp, body := s.visitor("x").send("GET", s.at+"module?name="+url.QueryEscape(evil), nil)
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("a module that is not there: %s", resp.Status)
	}
	pages["a module"] = body
	seen := 0
	for address, page := range pages {
		page = strings.Replace(page, ownScript, "", 1)
		wantNotIn(t, address, strings.ReplaceAll(page, `\u202e`, ""), "<img", "<script", "\u202e", "\x00", "\xff")
		seen += strings.Count(page, "&lt;img src=x onerror=alert(1)&gt;")
	}
	if seen < 6 {
		t.Errorf("the text was seen %d times", seen)
	}
	wantIn(t, "the list", pages[s.at+"users"], `a\u202eb\x00c\xff`)
}

// Every page has a policy that allows its own style sheet and forms only, and is
// kept by no cache.
//
// Proves X11.
func TestHeadersKeepPagesToThemselves(t *testing.T) {
	s := newSite(t, setup{inspect: &inspect.Options{AllowChanges: true}})
	s.comes("ann", "tea")
	for address, page := range s.crawl() {
		wantIn(t, address, page, "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'",
			"X-Content-Type-Options: nosniff", "Referrer-Policy: same-origin", "Cross-Origin-Opener-Policy: same-origin")
		if strings.Contains(address, ".") && strings.HasSuffix(address, "css") || strings.HasSuffix(address, "svg") {
			continue
		}
		wantIn(t, address, page, "Cache-Control: no-store")
		page = strings.Replace(page, ownScript, "", 1)
		wantNotIn(t, address, page, "style=", "<script", "onclick", "javascript:", "http://", "https://", "Set-Cookie")
	}
}

// The pages work wherever they are mounted, also by a handler that takes the path
// away.
func TestMountsAnywhere(t *testing.T) {
	s := newSite(t, setup{
		inspect: &inspect.Options{AllowChanges: true},
		mount:   func(h http.Handler) http.Handler { return http.StripPrefix("/debug/stay", h) },
	})
	s.comes("ann", "tea")
	if pages := s.crawl(); len(pages) < 12 {
		t.Errorf("only %d pages", len(pages))
	}
	post(t, s, s.visitor("an admin"), s.follow(s.get("users"), "ann"), "sign-out")
}

// Lists are shown page by page, each item once, also when others come and go.
//
// Proves X11.
func TestListsArePaged(t *testing.T) {
	s := newSite(t, setup{})
	for i := range 60 {
		word := fmt.Sprintf("doc-%02d", i)
		if _, err := s.docs.At(word).Update(t.Context(), func(d *Doc) error { d.ID = word; return nil }); err != nil {
			t.Fatal(err)
		}
		ctx := testkit.NewBrowser(s.app).Ctx()
		if err := stay.SessionFrom(ctx).Login(ctx, fmt.Sprintf("user-%02d", i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, list := range []string{"module?name=doc", "users", "sessions"} {
		seen := map[string]bool{}
		page, pages := s.get(list), 0
		for {
			pages++
			rows := rowsOf(page)
			if len(rows) > 25 || len(rows) == 0 {
				t.Errorf("%s: a page has %d rows", list, len(rows))
			}
			for _, name := range rows {
				if seen[name] {
					t.Errorf("%s shows %s twice", list, name)
				}
				seen[name] = true
			}
			if !strings.Contains(page, ">Next page<") {
				break
			}
			m := regexp.MustCompile(`<a href="\?([^"]*)" rel="next">`).FindStringSubmatch(page)
			page = s.get(strings.SplitN(list, "?", 2)[0] + "?" + strings.ReplaceAll(m[1], "&amp;", "&"))
		}
		if len(seen) != 60 || pages != 3 {
			t.Errorf("%s shows %d on %d pages", list, len(seen), pages)
		}
		wantIn(t, list, page, "First page")
	}
	wantRows := func(page string, want ...string) {
		t.Helper()
		if got := rowsOf(s.get(page)); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: %q, want %q", page, got, want)
		}
	}
	wantRows("module?name=doc&q=doc-07", "doc-07")
	wantRows("module?name=doc&q="+url.QueryEscape("#"+keyspace.Hash("doc-31")), "doc-31")
	wantRows("module?name=doc&q=%23"+keyspace.Hash("doc-31")[:11], "doc-31")
	wantRows("module?name=doc&q=nothing")
	wantRows("users?q=user-07", "user-07")
	id := s.sessionIDs()[40]
	wantRows("sessions?q="+keyspace.Hash(id), keyspace.Hash(id))
	wantRows("sessions?q=zz")
	for _, list := range []string{"module?name=doc&", "users?", "sessions?"} {
		wantIn(t, list, s.get(list+"after=forged"), "This link is of another process")
	}
}

// What a link names is good in this process only.
//
// Proves X11.
func TestLinksAreOfOneProcess(t *testing.T) {
	s, other := newSite(t, setup{}), newSite(t, setup{})
	s.comes("ann", "tea")
	ref := refOf(t, s.get("users"), "user")
	for _, path := range []string{"user?at=", "state?at=", "session?at="} {
		for _, at := range []string{ref, ref[:len(ref)-2], "", "x", strings.Repeat("A", 4000)} {
			if resp, body := other.visitor("x").send("GET", other.at+path+at, nil); resp.StatusCode != http.StatusNotFound || !strings.Contains(body, "another process") {
				t.Errorf("%s%.20s: %s", path, at, resp.Status)
			}
		}
	}
	if ref != refOf(t, s.get("users"), "user") {
		t.Error("the same page has another link")
	}
}

var errDisk = errors.New("the disk of ann is gone")

// When the store fails, pages say so and show the rest.
//
// Proves X11.
func TestAFailingStoreIsSaid(t *testing.T) {
	s := newSite(t, setup{})
	s.comes("ann", "tea")
	pages := map[string]string{}
	for name, page := range map[string]string{
		"overview": "", "module": "module?name=doc", "state": "state?at=" + refOf(t, s.get("module?name=doc"), "state"),
		"sessions": "sessions", "session": "session?at=" + refOf(t, s.get("sessions"), "session"),
		"users": "users", "user": "user?at=" + refOf(t, s.get("users"), "user"),
	} {
		pages[name] = page
	}
	rule := s.store.Add(storefault.Rule{Fault: storefault.Fail(fmt.Errorf("%w: %w", errDisk, store.ErrUnavailable))})
	for name, page := range pages {
		resp, body := s.visitor("an admin").send("GET", s.at+page, nil)
		want := http.StatusServiceUnavailable
		if name == "overview" {
			want = http.StatusOK
			wantIn(t, name, body, "cart", "PerUser", "States in memory")
		}
		if resp.StatusCode != want || !strings.Contains(body, `role="alert"`) || !strings.Contains(body, "unavailable") {
			t.Errorf("%s: %s\n%s", name, resp.Status, body)
		}
		wantNotIn(t, name, body, "the disk of")
	}
	rule.Remove()
	wantIn(t, "the overview later", s.get(""), "The store answers.")
}

// A store that hangs holds a page up for two seconds.
//
// Proves X11.
func TestAStoreThatHangsIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newApp(t, stay.Options{})
		if _, err := s.docs.At("tea").Update(t.Context(), func(d *Doc) error { d.ID = "tea"; return nil }); err != nil {
			t.Fatal(err)
		}
		pages := inspect.Handler(s.app, func(*http.Request) bool { return true }, nil)
		hang := s.store.Add(storefault.Rule{Fault: storefault.Hang()})
		for _, page := range []string{"/", "/module?name=doc", "/sessions", "/users"} {
			began := time.Now()
			w := httptest.NewRecorder()
			pages.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", page, nil))
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("%s took %v", page, took)
			}
			wantIn(t, page, w.Body.String(), `role="alert"`)
		}
		hang.Remove()
	})
}

// A record that cannot be read is said to be so, and nothing of it is shown.
//
// Proves X11.
func TestAnUnreadableStateIsSaid(t *testing.T) {
	s := newSite(t, setup{})
	for key, value := range map[string]string{"doc/broken": `{"id":"note-4242`, "doc/newer": `{"id":"newer","text":"note-4242"}`} {
		version := 1
		if strings.HasSuffix(key, "newer") {
			version = 7
		}
		testkit.Commit(t, s.memory, store.Write{Key: "key/" + key, Value: []byte(value), Version: version})
		page := s.follow(s.get("module?name=doc"), strings.TrimPrefix(key, "doc/"))
		wantIn(t, key, page, "cannot be read", "corrupt", "Revision")
		wantNotIn(t, key, page, "note-4242")
	}
	wantNotIn(t, "the log", s.log.String(), "note-4242")
}
