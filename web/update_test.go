package web_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

func (s *site) update(o *web.Options, fn func(http.ResponseWriter, *http.Request, *Counter) error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", s.routes(o))
	mux.Handle("POST /try/{id}", web.Sessions(s.app, o)(web.Update(s.counter, fn)))
	return mux
}

// The state is changed in place, and the response is what was committed.
//
// Proves B5.
func TestUpdateInPlace(t *testing.T) {
	s := newSite(t)
	c := browser(s.update(nil, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		c.Count += 5
		c.Label = r.PathValue("id")
		w.Header().Set("X-Count", fmt.Sprint(c.Count))
		w.WriteHeader(http.StatusCreated)
		_, err := fmt.Fprintf(w, "<b>%d</b>", c.Count)
		return err
	}))
	a := send(t, c, "POST", "/try/x", "")
	a.want(t, 201, "<b>5</b>")
	if a.header.Get("X-Count") != "5" || a.cookie(t) == "" {
		t.Errorf("header %v", a.header)
	}
	send(t, c, "GET", "/state/counter", "").want(t, 200, `{"count":5,"label":"x"}`)
}

// Changes of one browser at once are all counted.
//
// Proves B11.
func TestConcurrentUpdatesAreAllCounted(t *testing.T) {
	s := newSite(t)
	c := browser(s.routes(nil))
	send(t, c, "GET", "/view", "")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { send(t, c, "POST", "/update", "") })
	}
	wg.Wait()
	send(t, c, "GET", "/view", "").want(t, 200, "20")
}

// A run after a conflict gets the body from its start, no form of the run
// before, the path values and an empty response; what it wrote alone is sent.
//
// Proves W5.
func TestEveryRunIsFresh(t *testing.T) {
	for name, first := range map[string]string{"new session": "", "known session": "POST"} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			runs := 0
			var writers []http.ResponseWriter
			c := browser(s.update(nil, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
				runs++
				if r.Form != nil || r.PostForm != nil {
					t.Errorf("run %d begins with a parsed form %v", runs, r.Form)
				}
				if got := r.FormValue("by"); got != "7" {
					t.Errorf("run %d reads %q", runs, got)
				}
				r.Form.Set("by", "changed")
				if len(w.Header()) != 0 {
					t.Errorf("run %d begins with the header %v", runs, w.Header())
				}
				w.Header().Add("X-Run", fmt.Sprint(runs))
				if writers = append(writers, w); runs > 1 {
					writers[0].Header().Set("X-Stale", "yes")
				}
				w.WriteHeader(200 + runs)
				c.Count++
				_, err := fmt.Fprintf(w, "run %d of %s: %d", runs, r.PathValue("id"), c.Count)
				return err
			}))
			if first != "" {
				send(t, c, first, "/reset", "")
			}
			s.conflict(t, 2)
			a := send(t, c, "POST", "/try/me", "by=7", "Content-Type", "application/x-www-form-urlencoded")
			a.want(t, 203, "run 3 of me: 1")
			if fmt.Sprint(a.header["X-Run"]) != "[3]" {
				t.Errorf("header X-Run %q", a.header["X-Run"])
			}
			if a.header.Get("X-Stale") != "" {
				t.Error("the writer of an earlier run still sets headers")
			}
			send(t, c, "GET", "/view", "").want(t, 200, "1")
		})
	}
}

// A form that a middleware has parsed, which used up the body, is there in
// every run, and what a run changes in it stays in that run.
//
// Proves W5.
func TestFormParsedBefore(t *testing.T) {
	s := newSite(t)
	h := s.update(nil, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		c.Count++
		_, err := fmt.Fprint(w, r.FormValue("by"), r.PostFormValue("by"))
		r.Form.Set("by", "changed")
		r.PostForm.Set("by", "changed")
		return err
	})
	c := browser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.FormValue("csrf")
		h.ServeHTTP(w, r)
	}))
	s.conflict(t, 1)
	send(t, c, "POST", "/try/1", "by=7", "Content-Type", "application/x-www-form-urlencoded").want(t, 200, "77")
}

// An error changes nothing and sends a whole error page, no matter what was
// written before it.
//
// Proves W5.
func TestErrorAfterHalfAPage(t *testing.T) {
	s := newSite(t)
	c := browser(s.update(nil, func(w http.ResponseWriter, _ *http.Request, c *Counter) error {
		c.Count = 999
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("X-Half", "yes")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, "<html><body>half")
		return errors.New("boom")
	}))
	send(t, c, "POST", "/update", "")
	a := send(t, c, "POST", "/try/1", "")
	a.want(t, 500, "Internal Server Error\n")
	if a.header.Get("X-Half") != "" || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
		t.Errorf("header of the failed run: %v", a.header)
	}
	send(t, c, "GET", "/view", "").want(t, 200, "1")
	if !strings.Contains(s.log.String(), "boom") {
		t.Error("the cause is not in the log")
	}
}

// What others set on the response is kept, added to, and replaced.
//
// Proves W5.
func TestHeadersOfMiddleware(t *testing.T) {
	s := newSite(t)
	h := s.update(nil, func(w http.ResponseWriter, _ *http.Request, _ *Counter) error {
		w.Header().Add("Vary", "HX-Request")
		w.Header().Del("X-Gone")
		return nil
	})
	a := send(t, browser(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "7")
		w.Header().Set("X-Gone", "no")
		w.Header().Set("Vary", "Accept")
		h.ServeHTTP(w, r)
	})), "POST", "/try/1", "")
	if a.header.Get("X-Request-Id") != "7" || a.header.Get("X-Gone") != "" || fmt.Sprint(a.header["Vary"]) != "[Accept HX-Request Cookie]" {
		t.Errorf("header %v", a.header)
	}
}

// What a run that fails or panics did to headers of others is undone.
//
// Proves W5.
func TestHeadersOfMiddlewareAfterFailure(t *testing.T) {
	s := newSite(t)
	h := s.update(nil, func(w http.ResponseWriter, r *http.Request, _ *Counter) error {
		w.Header().Set("X-Half", "yes")
		w.Header()["X-List"][0] = "changed"
		w.Header().Add("X-List", "two")
		w.Header().Del("X-Request-Id")
		if r.PathValue("id") == "panic" {
			panic("boom")
		}
		return errors.New("boom")
	})
	outer := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "7")
		w.Header().Set("X-List", "one")
		defer func() {
			if recover() != nil {
				w.WriteHeader(http.StatusTeapot)
			}
		}()
		h.ServeHTTP(w, r)
	}
	for id, status := range map[string]int{"error": 500, "panic": http.StatusTeapot} {
		a := send(t, browser(http.HandlerFunc(outer)), "POST", "/try/"+id, "")
		if a.status != status || a.header.Get("X-Request-Id") != "7" || fmt.Sprint(a.header["X-List"]) != "[one]" || a.header.Get("X-Half") != "" {
			t.Errorf("%s: status %d, header %v", id, a.status, a.header)
		}
	}
}

// Proves E10, W5.
func TestPanicGivesTheTurnBack(t *testing.T) {
	s := newSite(t)
	c := browser(s.update(nil, func(_ http.ResponseWriter, r *http.Request, c *Counter) error {
		c.Count = 999
		if r.PathValue("id") == "exit" {
			runtime.Goexit()
		}
		panic("boom")
	}))
	send(t, c, "POST", "/update", "").want(t, 200, "1")
	for _, how := range []string{"panic", "exit"} {
		ended := make(chan any)
		go func() {
			defer func() { ended <- recover() }()
			send(t, c, "POST", "/try/"+how, "")
		}()
		if got := <-ended; how == "panic" && got != "boom" {
			t.Errorf("recovered %v", got)
		}
	}
	send(t, c, "POST", "/update", "").want(t, 200, "2")
}

// A status that makes net/http panic does so in the run, before anything is
// committed.
//
// Proves W5.
func TestInvalidStatusPanicsInTheRun(t *testing.T) {
	s := newSite(t)
	c := browser(s.update(nil, func(w http.ResponseWriter, _ *http.Request, c *Counter) error {
		c.Count = 999
		w.WriteHeader(12)
		return nil
	}))
	send(t, c, "POST", "/update", "")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		send(t, c, "POST", "/try/1", "")
	}()
	send(t, c, "GET", "/view", "").want(t, 200, "1")
}

// While one client's body trickles in, others change the same state.
//
// Proves W5.
func TestSlowBodyDoesNotHoldTheTurn(t *testing.T) {
	for _, path := range []string{"/try/1", "/add", "/state/counter/add"} {
		t.Run(path, func(t *testing.T) {
			s := newSite(t)
			h := s.update(nil, func(_ http.ResponseWriter, r *http.Request, c *Counter) error {
				if r.FormValue("by") == "7" {
					c.Count += 7
				}
				return nil
			})
			c := browser(h)
			send(t, c, "GET", "/view", "")
			body, client := io.Pipe()
			slow := make(chan int)
			go func() {
				r, _ := http.NewRequest("POST", "http://app.test"+path, body)
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				res, err := c.Do(r)
				if err != nil {
					t.Error(err)
					slow <- 0
					return
				}
				slow <- res.StatusCode
			}()
			io.WriteString(client, "by=") // returns when the handler has read it
			send(t, c, "POST", "/update", "").want(t, 200, "1")
			io.WriteString(client, "7")
			client.Close()
			if status := <-slow; status != 200 {
				t.Errorf("status %d", status)
			}
			send(t, c, "GET", "/view", "").want(t, 200, "8")
		})
	}
}

// Proves W5.
func TestNoStreamsInside(t *testing.T) {
	s := newSite(t)
	check := func(w http.ResponseWriter, _ *http.Request, _ *Counter) error {
		rc := http.NewResponseController(w)
		_, _, hijack := rc.Hijack()
		for name, err := range map[string]error{
			"Hijack":           hijack,
			"SetReadDeadline":  rc.SetReadDeadline(time.Time{}),
			"SetWriteDeadline": rc.SetWriteDeadline(time.Time{}),
			"EnableFullDuplex": rc.EnableFullDuplex(),
		} {
			if !errors.Is(err, http.ErrNotSupported) {
				t.Errorf("%s: %v, want http.ErrNotSupported", name, err)
			}
		}
		_, err := io.WriteString(w, "ok")
		return err
	}
	srv := httptest.NewServer(web.Sessions(s.app, nil)(web.Update(s.counter, check)))
	defer srv.Close()
	send(t, srv.Client(), "POST", srv.URL, "").want(t, 200, "ok")
}

// GET is for View: nothing that can be prefetched or linked changes state.
//
// Proves W5.
func TestSafeMethodsAreRefused(t *testing.T) {
	s := newSite(t)
	h := s.routes(nil)
	for _, path := range []string{"/update", "/increment"} {
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "TRACE"} {
			a := send(t, browser(h), method, path, "")
			if a.status != 405 || a.header.Get("Allow") != "POST, PUT, PATCH, DELETE" || a.cookie(t) != "" {
				t.Errorf("%s %s: %d, Allow %q, cookie %q", method, path, a.status, a.header.Get("Allow"), a.cookie(t))
			}
		}
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
			send(t, browser(h), method, path, "").want(t, 200, "1")
		}
	}
	if n := s.store.writes.Load(); n == 0 {
		t.Error("the changes were not stored")
	}
}

// Inside an update other changes are refused; reads of other state work.
//
// Proves E10.
func TestNestedChangesAreRefused(t *testing.T) {
	s := newSite(t)
	h := s.update(nil, func(_ http.ResponseWriter, r *http.Request, c *Counter) error {
		c.Count++
		_, err := s.counter.Update(r.Context(), func(*Counter) error { return nil })
		if !errors.Is(err, stay.ErrNested) {
			t.Errorf("nested update: %v", err)
		}
		return err
	})
	c := browser(h)
	if a := send(t, c, "POST", "/try/1", ""); a.status != 500 {
		t.Errorf("%d %s", a.status, a.body)
	}
	send(t, c, "GET", "/view", "").want(t, 200, "0")
}

// A body for a status without one, and a second status, behave as in net/http.
//
// Proves W5.
func TestRecorderKeepsTheRules(t *testing.T) {
	s := newSite(t)
	c := browser(s.update(nil, func(w http.ResponseWriter, _ *http.Request, _ *Counter) error {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusNoContent)
		w.WriteHeader(http.StatusTeapot)
		if _, err := io.WriteString(w, "x"); !errors.Is(err, http.ErrBodyNotAllowed) {
			t.Errorf("body of a 204: %v", err)
		}
		return nil
	}))
	send(t, c, "POST", "/try/1", "").want(t, 204, "")
}

// What a view does to the state is dropped, and said in development mode.
//
// Proves W5.
func TestViewCannotChange(t *testing.T) {
	s := newSite(t, func(o *stay.Options) { o.Development = true })
	h := web.Sessions(s.app, nil)(web.View(s.counter, func(w http.ResponseWriter, _ *http.Request, c *Counter) error {
		c.Count++
		_, err := fmt.Fprint(w, c.Count)
		return err
	}))
	c := browser(h)
	for range 2 {
		send(t, c, "GET", "/", "").want(t, 200, "1")
	}
	if !strings.Contains(s.log.String(), "web.Update") {
		t.Errorf("the log does not say so:\n%s", s.log)
	}
}

// A view that fails after the action: the change is made, the page is an error.
//
// Proves W5.
func TestDoFailingView(t *testing.T) {
	s := newSite(t)
	mux := http.NewServeMux()
	mux.Handle("/", s.routes(nil))
	mux.Handle("/do", web.Sessions(s.app, nil)(web.Do(s.counter, "increment", func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		fmt.Fprint(w, "half")
		return stay.ErrDenied
	})))
	c := browser(mux)
	send(t, c, "POST", "/do", "").want(t, 403, "Forbidden\n")
	send(t, c, "GET", "/view", "").want(t, 200, "1")
}
