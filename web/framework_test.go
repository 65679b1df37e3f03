package web_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// framework is a middleware as in frameworks whose handlers return errors: it
// answers the error when the middleware inside has returned, with the
// ResponseWriter and the request that the handler had.
func framework(middleware func(http.Handler) http.Handler, h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		middleware(http.HandlerFunc(func(inner http.ResponseWriter, request *http.Request) {
			w, r = inner, request
			err = h(w, r)
		})).ServeHTTP(w, r)
		web.Error(w, r, err)
	})
}

// A request that fails is answered with its error, also if the framework does
// that after the middleware has returned. A response that was sent is not sent
// again.
//
// Proves W6.
func TestErrorAfterSessionsHasReturned(t *testing.T) {
	s := newSite(t)
	h := framework(web.Sessions(s.app, nil), func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Etag", `"1"`)
		if _, err := s.counter.Update(r.Context(), func(c *Counter) error { c.Count++; return nil }); err != nil {
			t.Error(err)
		}
		switch r.URL.Path {
		case "/sent":
			fmt.Fprint(w, "sent")
			return errors.New("too late")
		case "/status":
			w.WriteHeader(http.StatusAccepted)
			return errors.New("too late")
		}
		return stay.ErrDenied
	})
	c := browser(h)
	a := send(t, c, "POST", "/", "")
	a.want(t, 403, "Forbidden\n")
	if a.cookie(t) == "" || a.header.Get("Cache-Control") != "private, no-store" || a.header.Get("Etag") != "" || a.header.Get("Vary") != "Cookie" {
		t.Errorf("header %v", a.header)
	}
	send(t, c, "POST", "/sent", "").want(t, 200, "sent")
	send(t, c, "POST", "/status", "").want(t, 202, "")
	c.Transport = inProcess{s.routes(nil)}
	send(t, c, "GET", "/view", "").want(t, 200, "3")
}
