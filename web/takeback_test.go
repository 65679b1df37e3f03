package web_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// compressing is a middleware that many programs have a copy of: it declares
// the body compressed before one is written.
func compressing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Cache-Control", "no-transform")
		gz := gzip.NewWriter(w)
		defer gz.Close()
		next.ServeHTTP(compressed{gz, w}, r)
	})
}

type compressed struct {
	io.Writer
	http.ResponseWriter
}

func (c compressed) Write(b []byte) (int, error) { return c.Writer.Write(b) }

// An error removes the headers with which the failed handler described its
// body, and no headers of others.
//
// Proves W6.
func TestErrorKeepsTheHeadersOfOthers(t *testing.T) {
	s := newSite(t)
	sessions := web.Sessions(s.app, nil)
	for kind, h := range s.bothKinds(web.Error, func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("Content-Length", "1000")
		w.Header().Set("Etag", `"1"`)
		return stay.ErrNotFound
	}) {
		for where, stack := range map[string]http.Handler{
			"inside":  sessions(compressing(h)),
			"outside": compressing(sessions(h)),
			"alone":   sessions(h),
		} {
			t.Run(kind+"/compressed "+where, func(t *testing.T) {
				srv := httptest.NewServer(stack)
				defer srv.Close()
				a := send(t, srv.Client(), "POST", srv.URL, "") // the client decompresses if the header says so
				a.want(t, 404, "Not Found\n")
				control := "no-transform"
				switch {
				case a.cookie(t) != "":
					control = "private, no-store"
				case where == "alone", where == "inside" && kind == "plain": // what a plain handler overwrites is lost
					control = ""
				}
				if a.header.Get("Etag") != "" || a.header.Get("Cache-Control") != control {
					t.Errorf("header %v, want Cache-Control %q", a.header, control)
				}
			})
		}
	}
	// The Content-Encoding of a plain handler is its own if no writer stands
	// between it and Sessions.
	h := sessions(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		web.Error(w, r, stay.ErrNotFound)
	}))
	a := send(t, browser(h), "GET", "/", "")
	a.want(t, 404, "Not Found\n")
	if a.header.Get("Content-Encoding") != "" {
		t.Errorf("header %v", a.header)
	}
}

// Outside of Sessions no one knows who has set which header: the encoding
// stays.
//
// Proves W6.
func TestErrorOutsideSessionsKeepsTheEncoding(t *testing.T) {
	srv := httptest.NewServer(compressing(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"1"`)
		web.Error(w, r, stay.ErrNotFound)
	})))
	defer srv.Close()
	a := send(t, srv.Client(), "GET", srv.URL, "")
	a.want(t, 404, "Not Found\n")
	if a.header.Get("Etag") != "" {
		t.Errorf("header %v", a.header)
	}
}
