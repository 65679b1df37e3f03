package main

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/examples/internal/exampletest"
	"github.com/stay-go/stay/staytest"
)

// A site is the handler on an App of the test's own.
type site struct {
	*shop
	t       *testing.T
	handler http.Handler
	clock   *staytest.Clock
}

func newSite(t *testing.T) *site {
	t.Helper()
	clock := staytest.NewClock()
	opts := options()
	opts.Clock = clock.Now
	shop := newShop(staytest.App(t, opts))
	return &site{shop, t, newHandler(shop), clock}
}

// A visitor is a browser without scripts: it keeps cookies, sends forms and
// follows redirects.
type visitor struct {
	t       *testing.T
	client  *http.Client
	address string
}

func (s *site) visit() *visitor {
	s.t.Helper()
	client, address := staytest.Browser(s.t, s.handler)
	return &visitor{s.t, client, address}
}

// signedIn brings a visitor who has signed in.
func (s *site) signedIn(user string) *visitor {
	s.t.Helper()
	v := s.visit()
	v.post("/login", "user", user)
	return v
}

// send makes a request and returns what it came to. Headers come in pairs.
func (v *visitor) send(method, path string, form url.Values, headers ...string) (*http.Response, string) {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), method, v.address+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := v.client.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return resp, string(body)
}

// post sends a form, with fields in pairs, which must lead to a page.
func (v *visitor) post(path string, fields ...string) string {
	v.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	resp, body := v.send("POST", path, form)
	if resp.StatusCode != http.StatusOK {
		v.t.Errorf("POST %s %v: %d", path, fields, resp.StatusCode)
	}
	return body
}

// want checks who the page says the visitor is, and the tins in the cart, in
// the order of the shop.
func (v *visitor) want(user string, tins ...string) {
	v.t.Helper()
	resp, body := v.send("GET", "/", nil)
	if resp.StatusCode != http.StatusOK {
		v.t.Fatalf("the page: %d", resp.StatusCode)
	}
	if got := textOf(body, "user"); got != user {
		v.t.Errorf("the page is for %q, want %q", got, user)
	}
	var got []string
	for _, m := range regexp.MustCompile(`<b id="tins-(\w+)">(\d+)</b>`).FindAllStringSubmatch(body, -1) {
		got = append(got, m[1]+" "+m[2])
	}
	if !slices.Equal(got, tins) {
		v.t.Errorf("%s has %q in the cart, want %q", user, got, tins)
	}
}

// textOf returns the text of the element with an id, which holds nothing else.
func textOf(body, id string) string {
	m := regexp.MustCompile(`id="` + id + `"[^>]*>([^<]*)<`).FindStringSubmatch(body)
	if m == nil {
		return ""
	}
	return m[1]
}

// wantNotice checks the status and what a page or fragment tells.
func wantNotice(t *testing.T, resp *http.Response, body string, status int, notice string) {
	t.Helper()
	if resp.StatusCode != status || !strings.Contains(body, notice) {
		t.Errorf("%d %q, want %d with %q", resp.StatusCode, body, status, notice)
	}
}

// ids returns the sessions of a user, oldest login first.
func (s *site) ids(user string) []string {
	s.t.Helper()
	var ids []string
	for session, err := range s.app.Sessions(s.t.Context(), user) {
		if err != nil {
			s.t.Fatal(err)
		}
		ids = append(ids, session.ID())
	}
	return ids
}

// A user without a cart and a profile gets those of the guest.
//
// Proves A6, K2.
func TestFirstLoginAdoptsCartAndProfile(t *testing.T) {
	s := newSite(t)
	v := s.visit()
	v.post("/cart/more", "tea", "mint")
	v.post("/profile", "name", "Ann", "colour", "plum")
	v.want("Guest", "mint 1")
	v.post("/login", "user", " Ann ")
	v.want("ann", "mint 1")
	if _, body := v.send("GET", "/", nil); !strings.Contains(body, `data-colour="plum"`) || !strings.Contains(body, "Hello, Ann") {
		t.Error("the profile did not come along")
	}

	// The guest who comes after has neither.
	v.post("/logout")
	v.want("Guest")
}

// One login moves both modules, each by its own Adopt: the cart is merged, of
// the profile the stored one stays.
//
// Proves A6, K2.
func TestLoginMovesBothModulesAtOnce(t *testing.T) {
	s := newSite(t)
	home := s.signedIn("ann")
	home.post("/cart/more", "tea", "assam")
	home.post("/profile", "name", "Ann", "colour", "amber")

	away := s.visit()
	for range 2 {
		away.post("/cart/more", "tea", "assam")
	}
	away.post("/cart/more", "tea", "mint")
	away.post("/profile", "name", "A guest", "colour", "blue")
	away.post("/login", "user", "ann")
	away.want("ann", "assam 3", "mint 1")
	home.want("ann", "assam 3", "mint 1")
	staytest.Want(t, t.Context(), s.profiles.At("ann"), Profile{Name: "Ann", Colour: "amber"})
	staytest.Want(t, t.Context(), s.carts.At("ann"), Cart{Tins: map[string]int{"assam": 3, "mint": 1}})

	// Another login finds nothing left of that guest.
	away.post("/logout")
	away.want("Guest")
	away.post("/login", "user", "ann")
	away.want("ann", "assam 3", "mint 1")
}

// A login that is sent twice, as by a double click, adopts once. The second
// comes with the cookie that the first has replaced, and gets that one's.
//
// Proves K2, S5.
func TestLoginSentTwiceAdoptsOnce(t *testing.T) {
	s := newSite(t)
	s.signedIn("ann").post("/cart/more", "tea", "assam")
	v := s.visit()
	v.post("/cart/more", "tea", "assam")
	old := v.cookie()
	v.post("/login", "user", "ann")
	v.want("ann", "assam 2")

	late := s.visit()
	resp, _ := late.send("POST", "/login", url.Values{"user": {"ann"}}, "Cookie", old)
	answer := resp.Request.Response // to the login; resp is the page after it
	if answer == nil || answer.StatusCode != http.StatusSeeOther || len(answer.Cookies()) != 1 {
		t.Errorf("the second login was answered with %v", answer)
	}
	v.want("ann", "assam 2")
}

// cookie returns what the visitor sends.
func (v *visitor) cookie() string {
	v.t.Helper()
	u, err := url.Parse(v.address)
	if err != nil {
		v.t.Fatal(err)
	}
	var parts []string
	for _, c := range v.client.Jar.Cookies(u) {
		parts = append(parts, c.Name+"="+c.Value)
	}
	if len(parts) == 0 {
		v.t.Fatal("the visitor has no cookie")
	}
	return strings.Join(parts, "; ")
}

// State of the browser stays through login and logout, and is the same for
// every user who signs in there.
//
// Proves S5.
func TestBrowserKeepsWhatItHasSeen(t *testing.T) {
	s := newSite(t)
	v := s.visit()
	for _, id := range []string{"assam", "mint", "sencha", "mint"} {
		if resp, body := v.send("GET", "/tea/"+id, nil); resp.StatusCode != http.StatusOK || !strings.Contains(body, teaOf(id).About) {
			t.Fatalf("tea %s: %d", id, resp.StatusCode)
		}
	}
	wantViewed := func(want ...string) {
		t.Helper()
		_, body := v.send("GET", "/", nil)
		_, list, _ := strings.Cut(body, `id="viewed"`)
		list, _, _ = strings.Cut(list, "</ul>")
		var got []string
		for _, m := range regexp.MustCompile(`/tea/(\w+)`).FindAllStringSubmatch(list, -1) {
			got = append(got, m[1])
		}
		if !slices.Equal(got, want) {
			t.Errorf("looked at: %q, want %q", got, want)
		}
	}
	wantViewed("mint", "sencha", "assam")
	v.post("/login", "user", "ann")
	wantViewed("mint", "sencha", "assam")
	v.post("/logout")
	wantViewed("mint", "sencha", "assam")
	v.post("/login", "user", "ben")
	wantViewed("mint", "sencha", "assam")
	if resp, _ := v.send("GET", "/tea/coffee", nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a tea that is not there: %d, want 404", resp.StatusCode)
	}
}

// The list has the user's devices, tells this one from the others, and looking
// at it is no use of theirs.
//
// Proves S7.
func TestDevicesAreListed(t *testing.T) {
	s := newSite(t)
	phone, laptop := s.visit(), s.visit()
	phone.send("POST", "/login", url.Values{"user": {"ann"}}, "User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Mobile/15E148 Safari/604.1")
	used := s.clock.Now()
	s.clock.Advance(5 * time.Hour)
	laptop.send("POST", "/login", url.Values{"user": {"ann"}}, "User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	s.signedIn("ben")

	_, body := laptop.send("GET", "/", nil)
	if n := strings.Count(body, `action="/devices/`); n != 3 { // two devices, and everywhere
		t.Errorf("%d buttons to sign devices out, want 3", n)
	}
	for _, want := range []string{
		"<b>Safari on iPhone</b>",
		`<b>Firefox on Linux</b> <span class="here">this device</span>`,
		`<time datetime="2026-01-01T12:00:00Z">1 Jan 12:00</time>`,
		`<time datetime="2026-01-01T17:00:00Z">1 Jan 17:00</time>`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the list lacks %s", want)
		}
	}
	for session, err := range s.app.Sessions(t.Context(), "ann") {
		if err != nil {
			t.Fatal(err)
		}
		if got := session.LastSeen(); !got.Equal(used) {
			t.Errorf("a device was last seen at %v, which was last used at %v", got, used)
		}
		used = s.clock.Now() // the laptop
	}
}

// One device signs another one out, which is a guest at once and can sign in
// again a minute later; other devices and other users go on.
//
// Proves S5, S7.
func TestDeviceSignsAnotherOut(t *testing.T) {
	s := newSite(t)
	phone, laptop, ben := s.signedIn("ann"), s.signedIn("ann"), s.signedIn("ben")
	phone.post("/cart/more", "tea", "mint")
	ben.post("/cart/more", "tea", "assam")
	devices := s.ids("ann")
	if len(devices) != 2 {
		t.Fatalf("ann has %d devices, want 2", len(devices))
	}

	// No other visitor can.
	ben.post("/devices/" + devices[0] + "/sign-out")
	if resp, _ := s.visit().send("POST", "/devices/"+devices[0]+"/sign-out", nil); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a guest signs a device out: %d, want 403", resp.StatusCode)
	}
	phone.want("ann", "mint 1")

	resp, body := laptop.send("POST", "/devices/"+devices[0]+"/sign-out", nil, "HX-Request", "true")
	if resp.StatusCode != http.StatusOK || strings.Contains(body, "<html") || strings.Count(body, `action="/devices/`) != 1 {
		t.Errorf("as htmx: %d %q, want the list with one device", resp.StatusCode, body)
	}
	phone.want("Guest")
	if body := phone.post("/cart/more", "tea", "mint"); !strings.Contains(body, "This browser was signed out") {
		t.Error("a device that was signed out is not told so")
	}
	laptop.want("ann", "mint 1")
	ben.want("ben", "assam 1")
	laptop.post("/devices/" + devices[0] + "/sign-out") // twice does no harm
	laptop.want("ann", "mint 1")

	s.clock.Advance(61 * time.Second)
	phone.post("/login", "user", "ann")
	phone.want("ann", "mint 1")

	// This device is signed out by the same button.
	laptop.post("/devices/" + devices[1] + "/sign-out")
	laptop.want("Guest")
	laptop.post("/login", "user", "ann")
	laptop.want("ann", "mint 1")
}

// Signing out everywhere ends all sessions of the user in one step; the browser
// that asked for it can sign in again at once. Others go on.
//
// Proves S7.
func TestSignOutEverywhereEndsAllSessions(t *testing.T) {
	s := newSite(t)
	phone, laptop, ben := s.signedIn("ann"), s.signedIn("ann"), s.signedIn("ben")
	laptop.post("/cart/more", "tea", "mint")
	stolen := laptop.cookie()
	if resp, _ := s.visit().send("POST", "/devices/sign-out", nil); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a guest signs out everywhere: %d, want 403", resp.StatusCode)
	}
	laptop.post("/devices/sign-out")
	laptop.want("Guest")
	phone.want("Guest")
	ben.want("ben")
	if ids := s.ids("ann"); len(ids) != 0 {
		t.Errorf("ann has %d sessions left", len(ids))
	}
	laptop.post("/login", "user", "ann")
	laptop.want("ann", "mint 1")
	for range 2 {
		if _, body := s.visit().send("GET", "/", nil, "Cookie", stolen); textOf(body, "user") != "Guest" {
			t.Error("an old cookie still opens the account")
		}
		s.clock.Advance(2 * time.Minute)
	}
	phone.post("/login", "user", "ann")
	phone.want("ann", "mint 1")
}

// A window that is looked at again shows what other devices did, and loads its
// page again if the page is for another user.
func TestWindowIsBroughtUpToDate(t *testing.T) {
	s := newSite(t)
	phone, laptop := s.signedIn("ann"), s.signedIn("ann")
	laptop.post("/cart/more", "tea", "mint")
	resp, body := phone.send("GET", "/now?user=ann", nil, "HX-Request", "true")
	if resp.Header.Get("HX-Refresh") != "" || !strings.Contains(body, `<b id="tins-mint">1</b>`) {
		t.Errorf("HX-Refresh %q, %q", resp.Header.Get("HX-Refresh"), body)
	}
	laptop.post("/devices/sign-out")
	if resp, _ := phone.send("GET", "/now?user=ann", nil, "HX-Request", "true"); resp.Header.Get("HX-Refresh") != "true" {
		t.Error("a device that was signed out keeps its page")
	}
}

// What cannot be done is said, on a page or in the notice of the one there is.
func TestMistakesAreTold(t *testing.T) {
	s := newSite(t)
	for _, test := range []struct {
		path, field, value, want string
	}{
		{"/login", "user", "  ", "user: write a name of 1 to 40 characters."},
		{"/login", "user", strings.Repeat("a", 41), "user: write a name of 1 to 40 characters."},
		{"/cart/more", "tea", "coffee", "tea: the shop does not have it."},
		{"/profile", "colour", "puce", "colour: there is no such colour."},
		{"/profile", "name", strings.Repeat("a", 61), "name: at most 60 characters."},
	} {
		form := url.Values{test.field: {test.value}}
		v := s.visit()
		resp, body := v.send("POST", test.path, form)
		wantNotice(t, resp, body, http.StatusUnprocessableEntity, test.want)
		resp, body = v.send("POST", test.path, form, "HX-Request", "true")
		wantNotice(t, resp, body, http.StatusUnprocessableEntity, test.want)
		if resp.Header.Get("HX-Retarget") != "#notice" || strings.Contains(body, "<") {
			t.Errorf("as htmx %q goes to %q", body, resp.Header.Get("HX-Retarget"))
		}
		v.want("Guest")
	}
	if resp, _ := s.visit().send("POST", "/cart/more", url.Values{"tea": {"mint"}}, "Sec-Fetch-Site", "cross-site"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a form on another site: %d, want 403", resp.StatusCode)
	}
}

// A cart has its bounds, also where two are merged.
func TestCartIsBounded(t *testing.T) {
	s := newSite(t)
	app, cart := s.app, s.carts
	fill := func(ctx context.Context, n int) {
		t.Helper()
		for range n {
			if _, err := cart.Do(ctx, "more", Pick{"mint"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	ann, guest := staytest.Session(t, app), staytest.Session(t, app)
	if err := stay.SessionFrom(ann).Login(ann, "ann"); err != nil {
		t.Fatal(err)
	}
	fill(ann, 60)
	fill(guest, maxTins)
	if _, err := cart.Do(guest, "more", Pick{"mint"}); stay.CodeOf(err) != stay.ErrInvalid {
		t.Errorf("one tin too many: %v, want ErrInvalid", err)
	}
	if err := stay.SessionFrom(guest).Login(guest, "ann"); err != nil {
		t.Fatal(err)
	}
	staytest.Want(t, ann, cart, Cart{Tins: map[string]int{"mint": maxTins}})
	for range maxTins + 1 {
		if _, err := cart.Do(ann, "less", Pick{"mint"}); err != nil {
			t.Fatal(err)
		}
	}
	staytest.Want(t, ann, cart, Cart{Tins: map[string]int{}})
}

// Buttons of the cart that are sent twice count once.
func TestWhatIsSentTwiceCountsOnce(t *testing.T) {
	s := newSite(t)
	v := exampletest.Visit(t, s.handler)
	tins := func() string {
		_, page := v.Send("GET", "/", nil, exampletest.Form...)
		return textOf(page, "tins-assam")
	}
	assam := url.Values{"tea": {"assam"}}
	for _, step := range []struct{ path, tins string }{{"/cart/more", "1"}, {"/cart/more", "2"}, {"/cart/less", "1"}} {
		v.Twice("/", step.path, assam)
		if got := tins(); got != step.tins {
			t.Errorf("after %s: %s tins, want %s", step.path, got, step.tins)
		}
	}
	v.TwiceByScript("/cart/more", `{"tea":"assam"}`, exampletest.HTMX...)
	if got := tins(); got != "2" {
		t.Errorf("after a script: %s tins, want 2", got)
	}
}
