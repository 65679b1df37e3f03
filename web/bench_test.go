package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// nowhere is a ResponseWriter that costs nothing.
type nowhere struct{ header http.Header }

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (w *nowhere) WriteHeader(int)             {}

// BenchmarkHandlers measures what a request of a known session costs beyond
// net/http.
func BenchmarkHandlers(b *testing.B) {
	s := newSite(b)
	h := s.routes(nil)
	_, cookie, _ := attributes(send(b, browser(h), "POST", "/update", "").cookie(b))
	for _, bc := range []struct{ name, method, path, body string }{
		{"plain", "GET", "/plain", ""},
		{"view", "GET", "/view", ""},
		{"update", "POST", "/update", ""},
		{"update with a form", "POST", "/update", "by=1"},
		{"do", "POST", "/add", "by=1"},
		{"actions", "GET", "/state/counter", ""},
	} {
		b.Run(bc.name, func(b *testing.B) {
			r := httptest.NewRequest(bc.method, bc.path, http.NoBody)
			r.Header.Set("Cookie", "stay="+cookie)
			if bc.body != "" {
				r.Header.Set("Content-Type", formType)
				r.ContentLength = int64(len(bc.body))
			}
			body := strings.NewReader(bc.body)
			w := &nowhere{header: make(http.Header)}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.header)
				body.Reset(bc.body)
				run := *r
				if bc.body != "" {
					run.Body = io.NopCloser(body)
				}
				h.ServeHTTP(w, &run)
			}
		})
	}
}
