package web_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stay-go/stay"
)

// A session too many is 503 with Retry-After; sessions that are stored, and
// what stores nothing, go on.
//
// Proves S1, W6.
func TestSessionTooManyIs503(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(o *stay.Options) { o.MaxNewSessions = 1 })
		h := s.routes(nil)
		first, second := browser(h), browser(h)
		send(t, first, "POST", "/update", "").want(t, 200, "1")
		a := send(t, second, "POST", "/update", "")
		if a.status != 503 || a.header.Get("Retry-After") != "1" {
			t.Errorf("a session too many is answered with %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
		}
		send(t, second, "GET", "/view", "").want(t, 200, "0")
		send(t, first, "POST", "/update", "").want(t, 200, "2")
		log := s.log.String()
		if strings.Contains(log, "level=ERROR") || !strings.Contains(log, "MaxNewSessions") {
			t.Errorf("the log does not warn, or calls it a failure:\n%s", log)
		}
	})
}
