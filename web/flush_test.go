package web_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// A buffered handler may flush, as libraries for event streams do. Still
// nothing is sent before the change is durable: an error after the Flush is
// answered like any other, and the status is the one at the first Flush.
//
// Proves W5.
func TestFlushInABufferedHandlerKeepsBack(t *testing.T) {
	s := newSite(t)
	stream := func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Content-Type", "text/event-stream")
		rc := http.NewResponseController(w)
		if err := rc.Flush(); err != nil {
			return fmt.Errorf("begin the stream: %w", err)
		}
		w.WriteHeader(http.StatusTeapot) // too late, as it is elsewhere
		for i := range 2 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
		}
		if r.URL.Query().Has("fail") {
			return stay.ErrDenied
		}
		return nil
	}
	for kind, h := range s.bothKinds(nil, stream) {
		if kind == "plain" {
			continue
		}
		c := browser(web.Sessions(s.app, nil)(h))
		a := send(t, c, "POST", "/", "")
		a.want(t, 200, "data: 0\n\ndata: 1\n\n")
		if a.header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("%s: header %v", kind, a.header)
		}
		a = send(t, c, "POST", "/?fail", "")
		a.want(t, 403, "Forbidden\n")
		if a.header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("%s: header %v", kind, a.header)
		}
	}

	// The page of an error may flush, and has the status of the error.
	o := &web.Options{Error: func(w http.ResponseWriter, _ *http.Request, _ int, _ error) {
		w.(http.Flusher).Flush()
		_, _ = io.Copy(w, strings.NewReader("own"))
	}}
	send(t, browser(web.Sessions(s.app, o)(web.Handle(func(http.ResponseWriter, *http.Request) error { return stay.ErrDenied }))), "GET", "/", "").want(t, 403, "own")
}
