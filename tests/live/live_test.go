package live_test

import (
	"testing"
	"time"

	"github.com/stay-go/stay/tests/browsertest"
)

// A visitor has two tabs with the page of one client.
type visitor struct {
	client string
	a, b   *tab
}

// Every client shows what has changed, in all tabs and whoever has changed it,
// through logins and logouts, in the background, over restarts with and without
// other templates, and after kill -9 with a change while the server is down. The
// page is never loaded again, and what has not changed is not touched.
//
// Proves L5, L7, L8, L9, L10, L14, L16, L17, L20.
func TestClientsKeepTheirPagesUpToDate(t *testing.T) {
	s := newServer(t)
	browser := browsertest.Start(t)
	var visitors []visitor
	for _, client := range clients {
		page := browser.NewPage(t)
		visitors = append(visitors, visitor{client, open(t, s, client, page), open(t, s, client, page.NewTab())})
	}
	all, mine, release, items := 0, map[string]int{}, "1", map[string]int{}
	each := func(do func(v visitor)) {
		for _, v := range visitors {
			do(v)
		}
	}
	tabs := func(do func(p *tab)) { each(func(v visitor) { do(v.a); do(v.b) }) }
	want := func() {
		t.Helper()
		tabs(func(p *tab) { t.Helper(); p.want(all, mine[p.client], release, items[p.client]) })
	}
	forget := func() { tabs((*tab).forget) }
	changed := func(parts string) {
		t.Helper()
		tabs(func(p *tab) { t.Helper(); p.changed(parts) })
	}
	step := func(name string, do func()) {
		if t.Failed() {
			return
		}
		begin := time.Now()
		do()
		t.Logf("%s: %v", name, time.Since(begin).Round(time.Millisecond))
	}

	step("first patch", want)
	step("two tabs", func() {
		forget()
		each(func(v visitor) { v.a.Click("#do-all"); all++ })
		want()
		changed("all rows")
		forget()
		each(func(v visitor) { v.b.Click("#do-mine"); mine[v.client]++ })
		want()
		changed("mine")
		each(func(v visitor) { v.a.Click("#do-cart"); items[v.client]++ })
		want()
	})
	step("hidden", func() {
		tabs(func(p *tab) { p.Eval(`hide(true), ""`) })
		s.do("POST", "/all")
		all++
		forget()
		tabs(func(p *tab) { p.Eval(`hide(false), ""`) })
		want()
		forget()
		tabs(func(p *tab) { p.Eval(`hide(true), ""`); p.Eval(`hide(false), ""`) })
		each(func(v visitor) { v.a.Click("#do-mine"); mine[v.client]++ })
		want()
		changed("mine")
	})
	step("login", func() {
		each(func(v visitor) { v.b.send("/login?user=" + v.client) }) // takes the cart along
		want()
		each(func(v visitor) { v.b.Click("#do-cart"); items[v.client]++ })
		want()
	})
	step("logout", func() {
		kept := items
		items = map[string]int{}
		each(func(v visitor) { v.b.send("/logout") })
		want()
		items = kept
		each(func(v visitor) { v.a.send("/login?user=" + v.client) })
		want()
	})
	step("restart", func() {
		forget()
		if took := s.terminate(); took > 5*time.Second {
			t.Errorf("the server ended after %v", took)
		}
		s.start()
		// What a page gets when it comes back, it gets before what changes now.
		wantOpened(s, 2)
		each(func(v visitor) { v.a.Click("#do-mine"); mine[v.client]++ })
		want()
		changed("mine")
	})
	step("new templates", func() {
		forget()
		s.terminate()
		release = "2"
		s.start("-release", release)
		wantOpened(s, 2)
		want()
		changed("all cart")
	})
	step("kill", func() {
		forget()
		s.kill()
		s.start("-release", release, "-change")
		all++
		wantOpened(s, 2)
		want()
		changed("all rows")
	})
	step("a proxy that answers for the server", func() {
		s.terminate()
		s.refuse()
		s.start("-release", release, "-change")
		all++
		tabs(func(p *tab) {
			if p.client == "datastar0" { // it takes an error for good
				open(t, s, p.client, p.Page)
			}
		})
		want()
	})
	step("revocation", func() {
		each(func(v visitor) { s.do("POST", "/revoke?user="+v.client) })
		items, mine = map[string]int{}, map[string]int{}
		want()
	})
	tabs(func(p *tab) {
		if p.Eval("window.first ?? ''") != "yes" || p.Eval("String(performance.getEntriesByType('navigation').length + performance.navigation.redirectCount)") != "1" {
			t.Errorf("%s: the page was loaded again", p.client)
		}
	})
	if n := s.number("/pages"); n != 2 { // of datastar0
		t.Errorf("the last process has served %d pages, want 2", n)
	}
}

// wantOpened waits until each client has opened so many streams.
func wantOpened(s *server, n int) {
	s.t.Helper()
	deadline := time.Now().Add(45 * time.Second)
	for _, client := range clients {
		for s.number("/opened?client="+client) < n {
			if time.Now().After(deadline) {
				s.t.Fatalf("%s has opened %d streams, want %d", client, s.number("/opened?client="+client), n)
			}
			time.Sleep(20 * time.Millisecond) // as browsertest asks
		}
	}
}

// Nine tabs of one browser on plain http, which has six connections for them: all
// are loaded and none hangs, and all show a change, the oldest within seconds.
//
// Proves L18.
func TestManyTabsOnPlainHTTP(t *testing.T) {
	s := newServer(t)
	browser := browsertest.Start(t)
	for i, client := range []string{"eventsource", "htmx4", "datastar"} {
		page := browser.NewPage(t)
		var tabs []*tab
		for n := range 9 {
			if n > 0 {
				page = page.NewTab()
			}
			tabs = append(tabs, open(t, s, client, page))
		}
		begin := time.Now()
		tabs[8].Click("#do-all")
		tabs[8].Click("#do-mine")
		for _, p := range tabs {
			p.want(i+1, 1, "1", 0)
		}
		t.Logf("%s: nine tabs after %v", client, time.Since(begin).Round(time.Millisecond))
	}
}

// Back to a page that was left: it shows what has changed meanwhile, and goes on.
//
// Proves L9.
func TestBackToALivePage(t *testing.T) {
	s := newServer(t)
	browser := browsertest.Start(t)
	for i, client := range clients {
		p := open(t, s, client, browser.NewPage(t))
		p.want(2*i, 0, "1", 0)
		p.Click("#away")
		p.WantText("p", "away")
		s.do("POST", "/all")
		p.Back()
		p.want(2*i+1, 0, "1", 0)
		s.do("POST", "/all")
		p.want(2*i+2, 0, "1", 0)
	}
}
