package web_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// A stream sends at most once in Every: the first change after a pause at once, and
// the last always.
//
// Proves L12.
func TestStreamsHaveAPace(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, &web.Options{Live: web.LiveOptions{Every: time.Second}})
		p := s.tab(t, "/public")
		sleep(2 * time.Second)
		s.publish(t, "0")
		p.want("news") // at once
		sleep(50 * time.Millisecond)
		for i := range 25 {
			sleep(100 * time.Millisecond)
			s.publish(t, fmt.Sprint(i+1))
			switch i + 1 {
			case 10, 20:
				p.want("news")
				p.shows("news", fmt.Sprint(i)) // the last that was there 50 ms ago
			default:
				p.want()
			}
		}
		sleep(500 * time.Millisecond)
		p.want("news")
		p.shows("news", "25")
		sleep(time.Minute)
		p.want()
	})
}

// A page that has nothing new hears of the stream now and then, and a stream that
// says something does not say that it is there.
//
// Proves L21.
func TestStreamsHaveAHeartbeat(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, &web.Options{Live: web.LiveOptions{Heartbeat: 8 * time.Second}})
		p := s.tab(t, "/public")
		beats := func(d time.Duration) int {
			p.wire.take()
			sleep(d)
			return strings.Count(string(p.wire.take()), ":\n\n")
		}
		if n := beats(90 * time.Second); n < 10 || n > 12 {
			t.Errorf("%d heartbeats in 90 s, want one in 7 to 9 s", n)
		}
		for i := range 20 {
			s.publish(t, fmt.Sprint(i))
			if n := beats(6 * time.Second); n != 0 {
				t.Errorf("%d heartbeats although there was a message 6 s ago", n)
			}
		}
	})
}

// A deadline of a write ends neither a stream on which nothing is written, as it would
// with HTTP/2, nor the next response on its connection.
//
// Proves L13.
func TestDeadlinesOfStreamsEndNothingElse(t *testing.T) {
	for _, proto := range []int{1, 2} {
		inBubble(t, func(t *testing.T) {
			s := newLiveSite(t, nil)
			p := newTab(t, s.h, browser(s.h), "/public")
			p.proto = proto
			p.open()
			for i := range 20 {
				s.publish(t, fmt.Sprint(i))
				sleep(7 * time.Second)
				p.want("news")
				if proto == 2 && !p.wire.deadline.IsZero() {
					t.Fatal("the deadline of a message is left")
				}
			}
			p.close()
			if !p.wire.deadline.IsZero() {
				t.Errorf("HTTP/%d: the deadline of a message is left at the end", proto)
			}
		})
	}
}

// The first bytes leave at once, with headers that keep everybody from holding the
// stream back.
//
// Proves L21, L22.
func TestStreamsBeginAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil)
		for _, path := range []string{"/live", "/public"} {
			p := s.tab(t, path)
			for name, want := range map[string]string{
				"Content-Type": "text/event-stream", "X-Accel-Buffering": "no",
				"Cache-Control": "private, no-store, no-transform", "X-Content-Type-Options": "nosniff",
			} {
				if got := p.wire.header.Get(name); got != want {
					t.Errorf("%s: %s: %q, want %q", path, name, got, want)
				}
			}
			if cookie := p.wire.header.Get("Set-Cookie"); (cookie != "") != (path == "/live") {
				t.Errorf("%s: Set-Cookie: %q: a page of Global parts has no session, others have one", path, cookie)
			}
			if p.retry < 100*time.Millisecond || p.retry > 1100*time.Millisecond {
				t.Errorf("%s: the client comes back after %v if the process dies", path, p.retry)
			}
			p.close()
			p.open() // with all that there is
			if p.read(); p.wire.status != 200 || p.client.Read().Retry == 0 {
				t.Errorf("%s: a stream without news sent nothing", path)
			}
		}
	})
}

// A HEAD gets the headers, and every other method is refused.
func TestStreamsAreForGET(t *testing.T) {
	s := newLiveSite(t, nil)
	h := web.Sessions(s.app, nil)(web.Live(s.newsPart()))
	c := browser(h)
	if a := send(t, c, "HEAD", "/", ""); a.status != 200 || a.header.Get("Content-Type") != "text/event-stream" || a.body != "" {
		t.Errorf("HEAD: %d %q", a.status, a.header)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		if a := send(t, c, method, "/", ""); a.status != 405 || a.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d %q", method, a.status, a.header)
		}
	}
}

// Pages of other origins open no streams, with or without a cookie, behind Sessions
// and elsewhere, unless the program trusts them.
func TestStreamsAreNotForOtherOrigins(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		trusting := http.NewCrossOriginProtection()
		if err := trusting.AddTrustedOrigin("http://friend.test"); err != nil {
			t.Fatal(err)
		}
		s := newLiveSite(t, &web.Options{CrossOrigin: trusting})
		for name, h := range map[string]http.Handler{"behind Sessions": s.h, "elsewhere": s.mux} {
			for _, tc := range []struct {
				header []string
				ok     bool
			}{
				{nil, true},
				{[]string{"Sec-Fetch-Site", "same-origin"}, true},
				{[]string{"Sec-Fetch-Site", "none"}, true},
				{[]string{"Origin", "http://app.test"}, true},
				{[]string{"Sec-Fetch-Site", "cross-site"}, false},
				{[]string{"Sec-Fetch-Site", "same-site", "Origin", "http://other.app.test"}, false},
				{[]string{"Origin", "http://evil.test"}, false},
				{[]string{"Origin", "null"}, false},
				{[]string{"Origin", "http://friend.test"}, true},
			} {
				p := newTab(t, h, browser(h), "/public")
				for i := 0; i < len(tc.header); i += 2 {
					p.header.Set(tc.header[i], tc.header[i+1])
				}
				p.open()
				ok := tc.ok && (name == "behind Sessions" || !strings.Contains(strings.Join(tc.header, " "), "friend"))
				if want := map[bool]int{true: 200, false: 403}[ok]; p.wire.status != want {
					t.Errorf("%s, %q: %d, want %d", name, tc.header, p.wire.status, want)
				}
				p.close()
			}
		}
	})
}

// A stream is no page load, and keeps the session of its browser as any request
// does.
//
// Proves L22.
func TestStreamsAreNoPageLoads(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil)
		drafts := stay.Register(s.app, stay.Module[Draft]{Name: "draft", Persist: stay.PerSession, ResetOnPageLoad: true})
		s.mux.HandleFunc("/fill", web.Update(drafts, func(_ http.ResponseWriter, _ *http.Request, d *Draft) error { d.Text = "typed"; return nil }))
		s.mux.HandleFunc("/draft", web.View(drafts, func(w http.ResponseWriter, _ *http.Request, d *Draft) error {
			_, err := fmt.Fprint(w, d.Text)
			return err
		}))
		c := browser(s.h)
		send(t, c, "POST", "/fill", "")
		for _, d := range dialects {
			for _, metadata := range []bool{false, true} {
				p := newTab(t, s.h, c, "/live")
				p.dialect = d
				if metadata {
					p.header.Set("Sec-Fetch-Mode", "cors")
					p.header.Set("Sec-Fetch-Dest", "empty")
					p.header.Set("Sec-Fetch-Site", "same-origin")
				}
				p.open()
				p.close()
			}
		}
		send(t, c, "GET", "/draft", "").want(t, 200, "typed")
	})
}

// A client that takes nothing for 30 s is cut off. Until then nothing queues up for
// it, and nobody else notices.
//
// Proves L13.
func TestSlowClientsAreCutOff(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil)
		slow, stuck, other := s.tab(t, "/public"), s.tab(t, "/public"), s.tab(t, "/public")
		settle()
		full := make(chan struct{})
		slow.wire.fill(full)
		stuck.wire.fill(make(chan struct{}))
		before := time.Now()
		s.publish(t, "0")
		if time.Since(before) != 0 {
			t.Error("a change waited for a client")
		}
		other.want("news")
		for i := range 25 {
			sleep(time.Second)
			s.publish(t, fmt.Sprint(i+1))
			other.want("news")
		}
		slow.want()
		close(full)
		slow.wire.fill(nil)
		sleep(time.Second)
		if got := slow.read(); len(got) != 2 { // the one that was under way, and the newest
			t.Errorf("a slow client got %d versions", len(got))
		}
		slow.shows("news", "25")
		if stuck.over() {
			t.Error("a client was cut off before its 30 s")
		}
		sleep(5 * time.Second)
		if !stuck.over() {
			t.Error("a client that takes nothing has a stream after 31 s")
		}
		if slow.over() || other.over() {
			t.Error("others were cut off")
		}
		slow.close()
		other.close()
	})
}
