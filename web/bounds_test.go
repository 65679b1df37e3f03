package web_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// longBodies are bodies of more than 1000 bytes, as a form and in parts.
func longBodies(t *testing.T) map[string][2]string {
	values, valuesType := multipartForm(t, map[string]string{"a": strings.Repeat("x", 2000)}, "")
	file, fileType := multipartForm(t, map[string]string{"a": "1"}, strings.Repeat("x", 2000))
	return map[string][2]string{
		"a form":   {"a=" + strings.Repeat("x", 2000), formType},
		"a value":  {values, valuesType},
		"a file":   {file, fileType},
		"many":     {strings.Repeat("a=&", 1000), formType},
		"no names": {strings.Repeat("=&", 1000), formType},
	}
}

// request returns a request with a body, in chunks or with its length.
func request(body, contentType string, chunked bool) *http.Request {
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	if chunked {
		r = httptest.NewRequest("POST", "/", io.MultiReader(strings.NewReader(body)))
	}
	r.Header.Set("Content-Type", contentType)
	return r
}

// However a function of Handle or View reads a body, it gets at most MaxBody
// bytes of it, and the answer says that the rest was refused, also if the
// function did not notice.
//
// Proves W5.
func TestBodiesOfBufferedHandlersAreBounded(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s := newSite(t)
	for how, read := range map[string]func(w http.ResponseWriter, r *http.Request) error{
		"FormValue":     func(_ http.ResponseWriter, r *http.Request) error { r.FormValue("a"); return nil },
		"FormFile":      func(_ http.ResponseWriter, r *http.Request) error { _, _, err := r.FormFile("upload"); return err },
		"PostFormValue": func(_ http.ResponseWriter, r *http.Request) error { r.PostFormValue("a"); return stay.ErrDenied },
		"ReadAll":       func(_ http.ResponseWriter, r *http.Request) error { _, err := io.ReadAll(r.Body); return err },
		"its own limit": func(w http.ResponseWriter, r *http.Request) error {
			r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
			_, err := io.ReadAll(r.Body)
			return err
		},
		"a lower limit": func(w http.ResponseWriter, r *http.Request) error {
			_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 10))
			return fmt.Errorf("read: %w", err)
		},
		"MultipartReader": func(_ http.ResponseWriter, r *http.Request) error {
			m, err := r.MultipartReader()
			if err != nil {
				_, err = io.ReadAll(r.Body)
				return err
			}
			for {
				p, err := m.NextPart()
				if err != nil {
					return err
				}
				if _, err := io.ReadAll(p); err != nil {
					return err
				}
			}
		},
	} {
		for kind, h := range s.bothKinds(nil, func(w http.ResponseWriter, r *http.Request) error {
			w.WriteHeader(http.StatusAccepted)
			return read(w, r)
		}) {
			if kind == "plain" {
				continue // is the program's own
			}
			for what, body := range longBodies(t) {
				for _, chunked := range []bool{false, true} {
					w := httptest.NewRecorder()
					web.Sessions(s.app, &web.Options{MaxBody: 1000})(h).ServeHTTP(w, request(body[0], body[1], chunked))
					if w.Code != 413 || !strings.Contains(w.Body.String(), "longer than") {
						t.Errorf("%s, %s, %s, in chunks %t: %d %s", kind, how, what, chunked, w.Code, w.Body)
					}
					w = httptest.NewRecorder()
					web.Sessions(s.app, &web.Options{MaxBody: int64(len(body[0]))})(h).ServeHTTP(w, request(body[0], body[1], chunked))
					if w.Code == 413 && how != "a lower limit" && kind != "Do" {
						t.Errorf("%s, %s, %s, in chunks %t: %d %s of a body that is not longer than it may be", kind, how, what, chunked, w.Code, w.Body)
					}
				}
			}
		}
	}
	if left := entries(t); len(left) != 0 {
		t.Errorf("left on disk: %q", left)
	}
}

// A body that says itself that it is too long is refused before the function
// runs, so that it cannot take a form for an empty one.
func TestLongBodiesAreRefusedByTheirLength(t *testing.T) {
	s := newSite(t)
	fn := func(http.ResponseWriter, *http.Request) error {
		t.Error("the function ran")
		return nil
	}
	for kind, h := range s.bothKinds(nil, fn) {
		if kind == "plain" {
			continue
		}
		r := httptest.NewRequest("POST", "/", unread{t})
		r.ContentLength = 1 << 30
		r.Header.Set("Content-Type", formType)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r) // outside of Sessions MaxBody is the default
		if w.Code != 413 {
			t.Errorf("%s: %d %s", kind, w.Code, w.Body)
		}
	}
}

// The page of an error cannot be made to read more either.
func TestErrorPagesReadABoundedBody(t *testing.T) {
	s := newSite(t)
	read := 0
	h := web.Sessions(s.app, &web.Options{MaxBody: 1000, Error: func(w http.ResponseWriter, r *http.Request, _ int, _ error) {
		b, _ := io.ReadAll(r.Body)
		read = len(b)
	}})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { web.Error(w, r, stay.ErrDenied) }))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request(strings.Repeat("x", 5000), formType, true))
	if w.Code != 403 || read != 1000 {
		t.Errorf("%d, %d bytes were read", w.Code, read)
	}
}

// A plain handler's own limit is a 413, too.
func TestErrorKnowsMaxBytesReader(t *testing.T) {
	s := newSite(t)
	h := web.Sessions(s.app, nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 10)
		web.Error(w, r, r.ParseForm())
	}))
	send(t, browser(h), "POST", "/", "a=12345678901", "Content-Type", formType).want(t, 413, "the body is longer than 10 bytes\n")
}

// A form that a middleware has parsed before, and be it to look for a token in
// it, counts as the body that it was.
//
// Proves W5.
func TestMaxBodyCountsAFormParsedBefore(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s := newSite(t)
	parsing := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := r.ParseMultipartForm(1); err != nil && !errors.Is(err, http.ErrNotMultipart) {
				t.Error(err)
			}
			next.ServeHTTP(w, r)
		})
	}
	var in struct {
		A []string `json:"a"`
	}
	handlers := map[string]http.Handler{
		"Bind":    web.Handle(func(_ http.ResponseWriter, r *http.Request) error { return web.Bind(r, &in) }),
		"Do":      web.Do(s.counter, "add", func(http.ResponseWriter, *http.Request, *Counter) error { return nil }),
		"Actions": routed("/counter/add", web.Actions(s.counter)),
		"Update": web.Update(s.counter, func(http.ResponseWriter, *http.Request, *Counter) error {
			t.Error("the function ran")
			return nil
		}),
	}
	for kind, h := range handlers {
		for what, body := range longBodies(t) {
			if what == "no names" {
				continue // of those nothing is left that could take room
			}
			if what == "a file" && kind == "Bind" {
				continue // its limit is that of the code that has parsed it
			}
			for _, chunked := range []bool{false, true} {
				r := request(body[0], body[1], chunked)
				if kind == "Actions" {
					r.URL.Path = "/counter/add"
				}
				w := httptest.NewRecorder()
				web.Sessions(s.app, &web.Options{MaxBody: 1000})(parsing(h)).ServeHTTP(w, r)
				if w.Code != 413 {
					t.Errorf("%s, %s, in chunks %t: %d %s", kind, what, chunked, w.Code, w.Body)
				}
			}
		}
	}
	// What fits is taken, to the last byte.
	for _, body := range []string{"a=1&a=2&a=", "a&a&a", "a=" + strings.Repeat("%41", 300)} {
		for _, chunked := range []bool{false, true} {
			w := httptest.NewRecorder()
			web.Sessions(s.app, &web.Options{MaxBody: int64(len(body))})(parsing(handlers["Bind"])).ServeHTTP(w, request(body, formType, chunked))
			if w.Code != 200 {
				t.Errorf("%s, in chunks %t: %d %s", body, chunked, w.Code, w.Body)
			}
		}
	}
}
