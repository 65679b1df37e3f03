package live_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/tests/browsertest"
	"github.com/stay-go/stay/web"
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
	t.Parallel()
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
		wantOpened(s, 2) // a page that was loaded again shows it before it has its stream
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
	ctx, cancel := context.WithTimeout(s.t.Context(), 45*time.Second)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for _, client := range clients {
		for s.number("/opened?client="+client) < n {
			select {
			case <-again.C:
			case <-ctx.Done():
				s.t.Fatalf("%s has opened %d streams, want %d", client, s.number("/opened?client="+client), n)
			}
		}
	}
}

// Nine tabs of one browser on plain http, which has six connections for them: all
// are loaded and none hangs, and all show a change, the oldest within seconds.
//
// Proves L18.
func TestManyTabsOnPlainHTTP(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	browser := browsertest.Start(t)
	for i, client := range []string{"eventsource", "datastar"} {
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
	t.Parallel()
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

// If one page of a session may have its stream, the other one stays away for good,
// whichever of them it is, and keeps what it shows.
//
// Proves L16, L23.
func TestOnePageOfASession(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.terminate()
	browser := browsertest.Start(t)
	all := 0
	for several, name := range map[web.Several]string{web.KickOld: "the newest", web.RejectNew: "the first"} {
		s.start("-several", fmt.Sprint(int(several)))
		type pair struct {
			live, away *tab
			opened     int
		}
		var pairs []pair
		for _, client := range clients {
			first := open(t, s, client, browser.NewPage(t))
			first.wantPart("mine", "0")
			opened := s.number("/opened?client=" + client)
			second := open(t, s, client, first.NewTab())
			if several == web.KickOld {
				second.wantPart("mine", "0")
				pairs = append(pairs, pair{second, first, opened})
			} else {
				pairs = append(pairs, pair{first, second, opened})
			}
		}
		before := all
		// The changes take longer than a client waits before it comes back.
		for begin := time.Now(); time.Since(begin) < 4*time.Second; {
			s.do("POST", "/all")
			all++
			for _, p := range pairs {
				p.live.wantPart("all", fmt.Sprintf("is <b>%d</b>\n<i>release 1</i>", all))
			}
		}
		want := "?"
		if several == web.KickOld {
			want = fmt.Sprintf("is %d release 1", before)
		}
		for _, p := range pairs {
			if got := strings.Join(strings.Fields(p.away.Text("#all")), " "); got != want {
				t.Errorf("%s has its stream, with %s the other one shows %q, want %q", name, p.away.client, got, want)
			}
			// That of the second page, and of one that asks once more.
			if n := s.number("/opened?client=" + p.away.client); n > p.opened+2 {
				t.Errorf("%s has its stream, with %s the other one has asked %d times", name, p.away.client, n-p.opened)
			}
		}
		s.terminate()
	}
}

// Pages that stay open through many restarts, each with a change before, while or
// after the server is away, show what it has in the end, and are never loaded again.
//
// Proves L7, L9, L17.
func TestSoakPagesThroughRestarts(t *testing.T) {
	t.Parallel()
	rounds := 2
	if os.Getenv("STAY_SOAK") != "" {
		rounds = 60
	}
	seed := testseed.New(t)
	random := rand.New(rand.NewPCG(seed, 1))
	s := newServer(t)
	browser := browsertest.Start(t)
	var tabs []*tab
	for _, client := range clients {
		tabs = append(tabs, open(t, s, client, browser.NewPage(t)))
	}
	all, release := 0, "1"
	for round := range rounds {
		if random.IntN(2) == 0 {
			s.do("POST", "/all")
			all++
		}
		if random.IntN(2) == 0 {
			s.terminate()
		} else {
			s.kill()
		}
		args := []string{}
		if random.IntN(2) == 0 {
			release = fmt.Sprint(round + 2)
		}
		if random.IntN(2) == 0 {
			args = append(args, "-change")
			all++
		}
		s.start(append(args, "-release", release)...)
		if random.IntN(2) == 0 {
			s.do("POST", "/all")
			all++
		}
		for _, p := range tabs {
			p.want(all, 0, release, 0)
			if p.Eval("window.first ?? ''") != "yes" {
				t.Fatalf("%s: the page was loaded again", p.client)
			}
		}
	}
}
