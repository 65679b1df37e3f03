package pageload_test

import (
	"testing"

	"github.com/stay-go/stay/tests/browsertest"
)

// What Chromium sends for a page that its user goes to.
var navigation = []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Purpose: absent", "HX-Request: absent"}

func click(selector string) func(*browsertest.Page) {
	return func(p *browsertest.Page) { p.Click(selector) }
}

func script(js string) func(*browsertest.Page) {
	return func(p *browsertest.Page) { p.Eval(js + `; ""`) }
}

// What a browser does by itself, on a host that it trusts to be its own
// machine, as it trusts https.
//
// Proves B6, W4.
func TestPlainRequestsReset(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := browsertest.Start(t)
	prerender := script(speculate("prerender", "/page/prerendered"))
	if !s.prerenders(b) {
		prerender = s.sendPrerender
	}
	s.run(b, s.url, []kind{
		{
			name: "typed address", path: "/page/typed", headers: append(navigation, "Sec-Fetch-Site: none"), load: true,
			do: func(p *browsertest.Page) { p.Goto(s.url + "/page/typed") },
		},
		{name: "reload", path: "/page/start", headers: navigation, load: true, do: (*browsertest.Page).Reload},
		{name: "reload by a script", path: "/page/start", headers: navigation, load: true, do: script(`location.reload()`)},
		{name: "link", path: "/page/link", headers: append(navigation, "Sec-Fetch-Site: same-origin"), load: true, do: click("#link")},
		{name: "form by GET", path: "/page/get", headers: navigation, load: true, do: click("#get")},
		{
			name: "link from another site", path: "/page/cross", headers: append(navigation, "Sec-Fetch-Site: cross-site"), load: true,
			do: func(p *browsertest.Page) {
				p.Goto("data:text/html,<a href='" + s.url + "/page/cross'>here</a>")
				p.Click("a")
			},
		},
		{
			name: "iframe", path: "/page/framed", headers: []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"},
			do: script(`document.body.append(Object.assign(document.createElement("iframe"), {src: "/page/framed"}))`),
		},
		{
			name: "image", path: "/part/image", headers: []string{"Sec-Fetch-Dest: image"},
			do: script(`new Image().src = "/part/image"`),
		},
		{
			name: "fetch", path: "/part/fetched", headers: []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"},
			do: script(`fetch("/part/fetched")`),
		},
		{
			name: "fetch of HTML", path: "/page/fetched", headers: []string{"Accept: text/html", "Sec-Fetch-Dest: empty"},
			do: script(`fetch("/page/fetched", {headers: {Accept: "text/html"}})`),
		},
		{
			name: "as Datastar asks", path: "/part/datastar", headers: []string{"Datastar-Request: true"},
			do: script(`fetch("/part/datastar", {headers: {Accept: "text/event-stream", "Datastar-Request": "true"}})`),
		},
		{
			name: "HEAD", path: "/part/head", headers: []string{"Sec-Fetch-Mode: cors"},
			do: script(`fetch("/part/head", {method: "HEAD"})`),
		},
		{
			name: "EventSource", path: "/events", headers: []string{"Accept: text/event-stream", "Sec-Fetch-Dest: empty"},
			do: script(`(es => es.onmessage = () => es.close())(new EventSource("/events"))`),
		},
		{
			name: "WebSocket", path: "/part/ws", headers: []string{"Upgrade: websocket", "Accept: absent", "Sec-Fetch-Dest: absent"},
			do: script(`new WebSocket(location.origin.replace("http", "ws") + "/part/ws")`),
		},
		{
			name: "prefetched link", path: "/page/hinted", headers: []string{"Sec-Purpose: prefetch"},
			do: script(`document.head.append(Object.assign(document.createElement("link"), {rel: "prefetch", href: "/page/hinted"}))`),
		},
		{
			name: "prefetch", path: "/page/prefetched", headers: []string{"Sec-Purpose: prefetch", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"},
			do: script(speculate("prefetch", "/page/prefetched")),
		},
		{
			name: "prerender", path: "/page/prerendered", headers: []string{"Sec-Purpose: prefetch;prerender", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"},
			do: prerender,
		},
		// The last one: a tab in the background prefetches nothing.
		{name: "new tab", path: "/page/tab", headers: navigation, load: true, apart: true, do: click("#tab")},
	})
}

// speculate is a script that has the browser get a page before it is wanted.
func speculate(how, url string) string {
	return `document.head.append(Object.assign(document.createElement("script"), {type: "speculationrules",
		textContent: JSON.stringify({` + how + `: [{source: "list", urls: ["` + url + `"], eagerness: "immediate"}]})}))`
}

// What htmx 2 sends.
//
// Proves B6, W4.
func TestHTMX2(t *testing.T) {
	t.Parallel()
	partial := []string{"HX-Request: true", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "HX-Boosted: absent"}
	boosted := []string{"HX-Request: true", "HX-Boosted: true", "Sec-Fetch-Dest: empty"}
	s := newSite(t)
	s.run(browsertest.Start(t), s.url, append(htmxKinds("2", partial, boosted), kind{
		name: "history restore", from: "2miss", path: "/page/start", load: true,
		headers: []string{"HX-History-Restore-Request: true", "HX-Request: true", "Sec-Fetch-Dest: empty"},
		do:      s.leaveAndGoBack,
	}, kind{
		// As the extension preload asks.
		name: "preloaded boosted link", from: "2", path: "/page/preloaded", headers: append(boosted, "HX-Preloaded: true"),
		do: script(`htmx.ajax("GET", "/page/preloaded", {source: document.querySelector("#boost"), headers: {"HX-Preloaded": "true"}})`),
	}))
}

// What htmx 4 sends.
//
// Proves B6, W4.
func TestHTMX4(t *testing.T) {
	t.Parallel()
	partial := []string{"HX-Request: true", "Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: empty", "HX-Boosted: absent"}
	boosted := []string{"HX-Request: true", "HX-Boosted: true", "HX-Request-Type: full"}
	s := newSite(t)
	s.run(browsertest.Start(t), s.url, append(htmxKinds("4", partial, boosted), kind{
		name: "history restore", from: "4", path: "/page/start", load: true,
		headers: []string{"HX-History-Restore-Request: true", "HX-Request: absent", "Sec-Fetch-Dest: empty"},
		do:      s.leaveAndGoBack,
	}))
}

// leaveAndGoBack follows the boosted link and comes back, with the state
// filled in between.
func (s *site) leaveAndGoBack(p *browsertest.Page) {
	p.Click("#boost")
	p.WantText("#page", "boost")
	s.fill()
	p.Eval(`setTimeout(() => history.back()); ""`)
	p.WantText("#page", "start")
}

func htmxKinds(version string, partial, boosted []string) []kind {
	return []kind{
		{name: "hx-get", from: version, path: "/part/get", headers: partial, do: click("#hx-get")},
		{name: "hx-post", from: version, path: "/part/post", headers: partial, do: click("#hx-post")},
		{name: "hx-get into the body", from: version, path: "/part/body", headers: partial, do: click("#hx-body")},
		{name: "hx-push-url", from: version, path: "/part/push", headers: partial, do: click("#hx-push")},
		{name: "plain link", from: version, path: "/page/link", headers: navigation, load: true, do: click("#link")},
		{name: "boosted link", from: version, path: "/page/boost", headers: boosted, load: true, do: click("#boost")},
		{name: "boosted form by GET", from: version, path: "/page/boost-get", headers: boosted, load: true, do: click("#boost-get")},
	}
}

// A posted form changes the state, and the page that it redirects to is a page
// load: what must survive it is preserved. So it is with a boosted form.
//
// Proves B6, W4.
func TestRedirectAfterPostIsAPageLoad(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := browsertest.Start(t)
	p := s.visit(b, s.url+"/page/start?v=0")
	for _, tc := range []struct{ name, version, button string }{
		{"form", "0", "#post"}, {"boosted form of htmx 2", "2", "#boost-post"}, {"boosted form of htmx 4", "4", "#boost-post"},
	} {
		p.Goto(s.url + "/page/start?v=" + tc.version)
		s.fill()
		p.Click(tc.button)
		post, redirect := s.await("/post"), s.await("/page/after-post")
		t.Logf("%s: %s, then %s", tc.name, describe(post), describe(redirect))
		p.WantText("#page", "after-post")
		if text, name := p.Text("#text"), p.Text("#name"); text != "" || name != "posted" {
			t.Errorf("%s: the page shows %q and %q", tc.name, text, name)
		}
		s.want(Draft{Name: "posted"})
	}
}

// On plain http, on a host that is not the browser's own machine, there are no
// Sec-Fetch headers; Accept and those of htmx tell.
//
// Proves B6, W4.
func TestPlainHTTPWithoutFetchHeaders(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	base := "http://app.test" + s.port
	none := []string{"Sec-Fetch-Mode: absent", "Sec-Fetch-Dest: absent", "Sec-Fetch-Site: absent"}
	with := func(more ...string) []string { return append(more, none...) }
	kinds := []kind{
		{name: "typed address", path: "/page/typed", headers: none, load: true, do: func(p *browsertest.Page) { p.Goto(base + "/page/typed") }},
		{name: "reload", path: "/page/start", headers: none, load: true, do: (*browsertest.Page).Reload},
		{name: "link", path: "/page/link", headers: none, load: true, do: click("#link")},
		{name: "redirect after post", path: "/page/after-post", headers: none, load: true, visitor: "posted", do: click("#post")},
		{name: "fetch", path: "/part/fetched", headers: with("Accept: */*"), do: script(`fetch("/part/fetched")`)},
		{
			// What Accept cannot tell apart from a page.
			name: "fetch of HTML", path: "/page/fetched", headers: with("Accept: text/html"), load: true, apart: true,
			do: script(`fetch("/page/fetched", {headers: {Accept: "text/html"}})`),
		},
		{
			name: "iframe", path: "/page/framed", headers: none, load: true, apart: true,
			do: script(`document.body.append(Object.assign(document.createElement("iframe"), {src: "/page/framed"}))`),
		},
		{name: "image", path: "/part/image", headers: none, do: script(`new Image().src = "/part/image"`)},
		{
			name: "EventSource", path: "/events", headers: with("Accept: text/event-stream"),
			do: script(`(es => es.onmessage = () => es.close())(new EventSource("/events"))`),
		},
		{
			name: "WebSocket", path: "/part/ws", headers: with("Accept: absent"),
			do: script(`new WebSocket(location.origin.replace("http", "ws") + "/part/ws")`),
		},
		{
			name: "prefetched link", path: "/page/hinted", headers: with("Sec-Purpose: prefetch"),
			do: script(`document.head.append(Object.assign(document.createElement("link"), {rel: "prefetch", href: "/page/hinted"}))`),
		},
	}
	for _, version := range []string{"2", "4"} {
		for _, k := range htmxKinds(version, with("HX-Request: true", "HX-Boosted: absent"), with("HX-Request: true", "HX-Boosted: true")) {
			if k.name == "plain link" {
				k.headers = none
			}
			k.name += " of htmx " + version
			kinds = append(kinds, k)
		}
	}
	s.run(browsertest.Start(t, "host-resolver-rules=MAP app.test 127.0.0.1"), base, kinds)
}

// A page that htmx 2 brings back from its own cache sends no request: it shows
// what it showed, and nothing is reset.
//
// Proves W4.
func TestHTMX2CacheSendsNoRequest(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.visit(browsertest.Start(t), s.url+"/page/start?v=0")
	p.Goto(s.url + "/page/start?v=2")
	s.leaveAndGoBack(p)
	s.wantNo("/page/start")
	s.want(s.filled)
}

// Back and forward bring a page from the browser's own back/forward cache:
// there is no request, nothing is reset, and the page learns of it by the event
// pageshow.
//
// Proves W4.
func TestBackForwardCacheSendsNoRequest(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.visit(browsertest.Start(t, "disable-features=Translate"), s.url+"/page/start?v=0")
	// A page whose scripts have fetched what must not be stored is not kept.
	p.Goto(s.url + "/page/start?v=0")
	s.fill()
	// The page itself says that it is back: the debugging protocol does not
	// answer from then on.
	p.Eval(`addEventListener("pageshow", e => fetch("/part/back-" + e.persisted + "-" + document.querySelector("#text").innerText)); ""`)
	p.Click("#link")
	s.await("/page/link")
	p.WantText("#page", "link")
	s.want(Draft{Name: "ann"})
	s.fill()
	p.Eval(`setTimeout(() => history.back()); ""`)
	s.await("/part/back-true-")
	s.wantNo("/page/start")
	s.want(s.filled)
}

// Without that cache, Back and Forward load the pages anew, because answers
// with state of a session are not stored.
//
// Proves W4.
func TestBackAndForwardWithoutCache(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.visit(browsertest.Start(t), s.url+"/page/start?v=0")
	p.Click("#link")
	p.WantText("#page", "link")
	for _, step := range []struct{ js, page string }{{"history.back()", "start"}, {"history.forward()", "link"}} {
		s.fill()
		p.Eval("setTimeout(() => " + step.js + `); ""`) // the answer comes before the page goes
		t.Log(describe(s.await("/page/" + step.page)))
		p.WantText("#page", step.page)
		s.want(Draft{Name: "ann"})
	}
}

// A page that was prefetched or prerendered is shown without another request:
// it shows the state of when it was made, and nothing is reset.
//
// Proves W4.
func TestSpeculatedPageIsShownWithoutReset(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := browsertest.Start(t)
	ways := []string{"prefetch"}
	if s.prerenders(b) {
		ways = append(ways, "prerender")
	}
	for _, how := range ways {
		p := s.visit(b, s.url+"/page/start?v=0")
		s.fill()
		p.Eval(speculate(how, "/page/link?v=0") + `; ""`)
		first := s.await("/page/link")
		p.Eval(`document.body.dataset.ready = "yes"; ""`)
		s.want(s.filled)
		s.forget()
		p.Click("#link")
		p.WantText("#page", "link")
		t.Logf("%s: %s, then %s", how, describe(first), s.paths())
		s.wantNo("/page/link")
		if text := p.Text("#text"); text != s.filled.Text {
			t.Errorf("%s: the page shows %q", how, text)
		}
		s.want(s.filled)
	}
}

// Two tabs are one session: a page load in one resets what the other shows,
// which it learns when it asks.
//
// Proves W4.
func TestTwoTabsShareASession(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.visit(browsertest.Start(t), s.url+"/page/start?v=0")
	s.fill()
	p.Eval(`document.querySelector("#text").innerText = "typed"; ""`)
	p.Click("#tab")
	s.await("/page/tab")
	s.want(Draft{Name: "ann"})
	if text := p.Text("#text"); text != "typed" {
		t.Errorf("the first tab shows %q", text)
	}
}

func (s *site) wantNo(path string) {
	s.t.Helper()
	if r := s.find(path); r != nil {
		s.t.Errorf("there was a request: %s", describe(r))
	}
}
