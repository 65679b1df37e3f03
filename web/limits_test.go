package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stay-go/stay/web"
)

// Proves W5.
func TestBodyBeyondTheLimitIsRefused(t *testing.T) {
	s := newSite(t)
	ran := false
	h := s.update(&web.Options{MaxBody: 10}, func(w http.ResponseWriter, r *http.Request, _ *Counter) error {
		ran = true
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	})
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	send(t, browser(h), "POST", "/try/1", "0123456789").want(t, 200, "0123456789")
	ran = false
	writes := s.store.writes.Load()
	for _, path := range []string{"/try/1", "/add", "/state/counter/add"} {
		send(t, browser(h), "POST", path, "by=12345678", form...).want(t, 413, "the body is longer than 10 bytes\n")
		// Without a length in the header the end is only seen by reading.
		r, _ := http.NewRequest("POST", "http://app.test"+path, io.MultiReader(strings.NewReader("by=12345678")))
		r.Header.Set("Content-Type", form[1])
		res, err := browser(h).Do(r)
		if err != nil || res.StatusCode != 413 {
			t.Errorf("%s in chunks: %v, %v", path, res.StatusCode, err)
		}
	}
	if ran || s.store.writes.Load() != writes {
		t.Error("a body that is too long reached the state")
	}
}

// Proves W5.
func TestBrokenBodyIsRefused(t *testing.T) {
	s := newSite(t)
	h := s.update(nil, func(http.ResponseWriter, *http.Request, *Counter) error {
		t.Error("the function ran")
		return nil
	})
	for _, path := range []string{"/try/1", "/add", "/state/counter/add"} {
		body := io.MultiReader(strings.NewReader("by="), broken{})
		r, _ := http.NewRequest("POST", "http://app.test"+path, body)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := browser(h).Do(r)
		if err != nil || res.StatusCode != 400 {
			t.Errorf("%s: %v, %v, want 400", path, res.StatusCode, err)
		}
	}
}

// What is announced to be too long is refused before any of it is read.
//
// Proves W5.
func TestBodyIsRefusedByItsLength(t *testing.T) {
	s := newSite(t)
	h := s.routes(&web.Options{MaxBody: 10})
	r := httptest.NewRequest("POST", "/update", unread{t})
	r.ContentLength = 11
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 413 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// A response beyond the limit commits nothing, even if the function ignores the
// error of Write, and the log says what to do.
//
// Proves W5.
func TestResponseBeyondTheLimitCommitsNothing(t *testing.T) {
	s := newSite(t)
	size := 10
	h := s.update(&web.Options{MaxResponse: 10}, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		c.Count++
		_, err := io.WriteString(w, strings.Repeat("x", size))
		if err != nil {
			_, _ = w.Write([]byte("fits"))
		}
		if r.PathValue("id") == "return" {
			return err
		}
		return nil
	})
	c := browser(h)
	send(t, c, "POST", "/try/1", "").want(t, 200, "xxxxxxxxxx")
	size = 11
	for _, how := range []string{"ignore", "return"} {
		send(t, c, "POST", "/try/"+how, "").want(t, 500, "Internal Server Error\n")
	}
	send(t, c, "GET", "/view", "").want(t, 200, "1")
	if !strings.Contains(s.log.String(), "MaxResponse") {
		t.Errorf("the log does not name the option:\n%s", s.log)
	}
}

// Proves W5.
func TestMaxResponseOfReadsAndHandlers(t *testing.T) {
	s := newSite(t)
	long := func(w http.ResponseWriter) error {
		io.WriteString(w, "0123456789x")
		return nil
	}
	for name, h := range map[string]http.Handler{
		"View":   web.View(s.counter, func(w http.ResponseWriter, _ *http.Request, _ *Counter) error { return long(w) }),
		"Do":     web.Do(s.counter, "increment", func(w http.ResponseWriter, _ *http.Request, _ *Counter) error { return long(w) }),
		"Handle": web.Handle(func(w http.ResponseWriter, _ *http.Request) error { return long(w) }),
	} {
		a := send(t, browser(web.Sessions(s.app, &web.Options{MaxResponse: 10})(h)), "POST", "/", "")
		if a.status != 500 || strings.Contains(a.body, "0123") {
			t.Errorf("%s: %d %q", name, a.status, a.body)
		}
	}
}

// A file in a form that a run parses does not stay on the disk.
//
// Proves W5.
func TestFilesOfARunAreRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s := newSite(t)
	c := browser(s.update(nil, func(w http.ResponseWriter, r *http.Request, _ *Counter) error {
		// All of the file beyond these bytes goes to the disk.
		if err := r.ParseMultipartForm(1); err != nil {
			return err
		}
		f, err := r.MultipartForm.File["upload"][0].Open()
		if err != nil {
			return err
		}
		defer f.Close()
		n, err := io.Copy(w, f)
		if n != 20<<10 {
			t.Errorf("%d bytes", n)
		}
		return err
	}))
	body, contentType := multipartForm(t, map[string]string{}, strings.Repeat("x", 20<<10))
	if a := send(t, c, "POST", "/try/1", body, "Content-Type", contentType); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if left := entries(t); len(left) != 0 {
		t.Errorf("left on disk: %q", left)
	}
}
