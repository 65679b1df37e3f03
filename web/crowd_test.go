package web_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// Ten thousand requests that are refused in one second do not fill the log:
// some are logged, the others counted. Failures of the program are all logged.
//
// Proves W6.
func TestCrowdsAreLoggedInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		var err error
		h := web.Sessions(s.app, nil)(web.Handle(func(http.ResponseWriter, *http.Request) error { return err }))
		lines := func() int { return strings.Count(s.log.String(), "request failed") }
		many := func(n int) {
			for range n {
				send(t, browser(h), "GET", "/", "")
			}
		}
		err = stay.ErrBusy
		many(1000)
		if n := lines(); n != 10 {
			t.Errorf("%d lines of 1000 refused requests, want 10", n)
		}
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
		many(1)
		if n := lines(); n != 11 || !strings.Contains(s.log.String(), "left_out=990") {
			t.Errorf("%d lines, want one more, which says left_out=990:\n%s", n, s.log)
		}
		err = stay.ErrInternal
		many(30)
		if n := lines(); n != 41 {
			t.Errorf("%d lines, want 30 more for failures that are no crowd's", n)
		}
		if err := s.app.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
