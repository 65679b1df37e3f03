package web_test

import (
	"strings"
	"testing"

	"github.com/stay-go/stay/web"
)

// visitor begins its own session, and returns the value of its cookie.
func (s *site) visitor(t *testing.T, o *web.Options) string {
	t.Helper()
	_, value, _ := attributes(send(t, browser(s.routes(o)), "POST", "/update", "").cookie(t))
	return value
}

// Of several cookies of our name the valid one counts, in any order, also if it
// comes twice.
//
// Proves W1.
func TestOfSeveralCookiesTheOneThatIsValidCounts(t *testing.T) {
	s := newSite(t)
	h := s.routes(nil)
	mine, foreign := s.visitor(t, nil), newSite(t).visitor(t, nil)
	for name, cookie := range map[string]string{
		"behind a planted one":   "stay=planted; stay=" + mine,
		"before a planted one":   "stay=" + mine + "; a=b; stay=planted",
		"beside another program": "stay=" + foreign + "; stay=" + mine,
		"beside an empty one":    "stay=; stay=" + mine,
		"before an empty one":    "stay=" + mine + "; stay=",
		"twice":                  "stay=" + mine + "; stay=" + mine,
		"beside a forged one":    "stay=" + flip(mine, len(mine)-2) + "; stay=" + mine,
	} {
		a := send(t, browser(h), "GET", "/view", "", "Cookie", cookie)
		if a.status != 200 || a.body != "1" || a.cookie(t) != "" {
			t.Errorf("%s: %d %q, cookie %q", name, a.status, a.body, a.cookie(t))
		}
	}
	lines := send(t, browser(h), "GET", "/view", "", "Cookie", "stay=planted", "Cookie", "stay="+mine)
	lines.want(t, 200, "1")
	if log := s.log.String(); log != "" {
		t.Errorf("the log says %s", log)
	}
}

// If cookies of several sessions are valid, none counts. Their requests read the initial
// state and store nothing, and their answers set no cookie, which would replace
// the visitor's own.
//
// Proves W1.
func TestOfSeveralValidCookiesNoneCounts(t *testing.T) {
	s := newSite(t)
	h := s.routes(nil)
	mine, planted := s.visitor(t, nil), s.visitor(t, nil)
	writes := s.store.writes.Load()
	for name, cookie := range map[string]string{
		"two sessions":      "stay=" + planted + "; stay=" + mine,
		"one of them twice": "stay=" + mine + "; stay=" + planted + "; stay=" + mine,
		"very many":         strings.Repeat("stay=x; ", 8) + "stay=" + mine,
	} {
		for range 3 {
			a := send(t, browser(h), "GET", "/view", "", "Cookie", cookie)
			if a.status != 200 || a.body != "0" || a.cookie(t) != "" {
				t.Errorf("%s: %d %q, cookie %q", name, a.status, a.body, a.cookie(t))
			}
			a = send(t, browser(h), "POST", "/update", "", "Cookie", cookie)
			if a.status != 401 || !strings.Contains(a.body, "several cookies") || a.cookie(t) != "" {
				t.Errorf("%s: %d %q, cookie %q", name, a.status, a.body, a.cookie(t))
			}
		}
	}
	if got := s.store.writes.Load(); got != writes {
		t.Errorf("%d records were written", got-writes)
	}
	if log := s.log.String(); strings.Count(log, "several session cookies") != 1 || !strings.Contains(log, "web.Options.Cookie") || strings.Contains(log, mine) {
		t.Errorf("the log says %s", log)
	}
	send(t, browser(h), "GET", "/view", "", "Cookie", "stay="+mine).want(t, 200, "1")
}

// Two programs on one host replace each other's cookie: the log says so, once.
//
// Proves W1.
func TestACookieOfAnotherProgramIsLoggedOnce(t *testing.T) {
	s := newSite(t)
	h := s.routes(nil)
	foreign := newSite(t).visitor(t, nil)
	for _, cookie := range []string{"planted", flip(s.visitor(t, nil), 40), strings.Repeat("a", 200)} {
		send(t, browser(h), "GET", "/view", "", "Cookie", "stay="+cookie).want(t, 200, "0")
	}
	if log := s.log.String(); log != "" {
		t.Errorf("what is no cookie of Stay is logged: %s", log)
	}
	for range 3 {
		send(t, browser(h), "POST", "/update", "", "Cookie", "stay="+foreign).want(t, 200, "1")
	}
	if log := s.log.String(); strings.Count(log, "another key") != 1 || !strings.Contains(log, "web.Options.Cookie") || !strings.Contains(log, "web.Options.Keys") || strings.Contains(log, foreign) {
		t.Errorf("the log says %s", log)
	}
}
