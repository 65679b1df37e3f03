package system_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/web"
)

// A handler that returns an error, panics or ends its goroutine changes nothing
// and sends nothing of what it wrote; the key works as before, also for those
// who waited for it.
//
// Proves A19, E10.
func TestHandlersThatFailChangeNothing(t *testing.T) {
	failures := map[string]struct {
		fail func() error
		ends bool // the connection breaks off, as net/http does it
	}{
		"error":        {func() error { return errors.New("sorry") }, false},
		"client error": {func() error { return stay.Invalid("text", "is not good") }, false},
		"panic":        {func() error { panic("sorry") }, true},
		"abort":        {func() error { panic(http.ErrAbortHandler) }, true},
		"goexit":       {func() error { runtime.Goexit(); return nil }, true},
	}
	for _, st := range stores {
		for name, f := range failures {
			t.Run(st.name+"/"+name, func(t *testing.T) {
				s := st.open(t)
				x := serve(t, s, nil)
				running, goOn := make(chan struct{}), make(chan struct{})
				broken := func(w http.ResponseWriter, _ *http.Request, c *Counter) error {
					c.Count += 1000
					w.Header().Set("X-Half", "yes")
					w.WriteHeader(http.StatusTeapot)
					_, _ = io.WriteString(w, strings.Repeat("half", 4<<10))
					running <- struct{}{}
					<-goOn
					return f.fail()
				}
				x.mux.Handle("POST /own/broken", web.Update(x.counter, broken))
				x.mux.Handle("POST /all/broken", web.Update(x.total, broken))
				for _, path := range []struct{ broken, click, read string }{
					{"/own/broken", "/click", "/"}, {"/all/broken", "/total/click", "/total"},
				} {
					b := x.browser()
					b.want("GET", "/", 200, "0")
					records := len(rows(t, s.(store.Lister), time.Now()))
					// The first change ever, and one of a state that is stored.
					for n := range 2 {
						ctx, cancel := context.WithTimeout(t.Context(), patience)
						type result struct {
							a   answer
							err error
						}
						done := make(chan result, 1)
						go func() {
							a, err := b.clone().send(ctx, "POST", path.broken, nil)
							done <- result{a, err}
						}()
						await(t, "the run", running)
						waits := b.clone().later("POST", path.click)
						goOn <- struct{}{}
						r := await(t, "the broken answer", done)
						cancel()
						switch {
						case f.ends && r.err == nil:
							t.Errorf("%s: answered with %v", path.broken, r.a)
						case !f.ends && (r.err != nil || r.a.status < 400 || r.a.status == http.StatusTeapot || strings.Contains(r.a.body, "half") || strings.Contains(r.a.body, "sorry") || r.a.header.Get("X-Half") != ""):
							t.Errorf("%s: %v, %v", path.broken, r.a, r.err)
						}
						if a := await(t, "the one that waited", waits); a.status != 200 || a.body != fmt.Sprint(n+1) {
							t.Errorf("the one that waited: %v", a)
						}
					}
					b.want("GET", path.read, 200, "2")
					if got := len(rows(t, s.(store.Lister), time.Now())); got > records+3 { // the session, its state and the list of modules
						t.Errorf("%d records became %d", records, got)
					}
				}
			})
		}
	}
}

// A client that sends its body slowly holds up nobody, not even the other
// requests of its own session. The body comes byte by byte; between two of them
// others are served.
//
// Proves E8, W5.
func TestSlowBodyBlocksNobody(t *testing.T) {
	x := serve(t, openSQLite(t, tempDB(t)), nil)
	echo := func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		text, err := io.ReadAll(r.Body)
		c.Text = string(text)
		c.Count++
		if err == nil {
			_, err = fmt.Fprint(w, c.Text, c.Count)
		}
		return err
	}
	x.mux.Handle("POST /own/text", web.Update(x.counter, echo))
	x.mux.Handle("POST /all/text", web.Update(x.total, echo))
	b, other := x.browser(), x.browser()
	b.want("GET", "/", 200, "0")
	for _, path := range []string{"/own/text", "/all/text"} {
		body, in := io.Pipe()
		slow := make(chan answer, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			a, err := b.clone().send(ctx, "POST", path, body)
			if err != nil {
				a.body = err.Error()
			}
			slow <- a
		}()
		for i := range 5 {
			if _, err := in.Write([]byte{'a' + byte(i)}); err != nil {
				t.Fatal(err)
			}
			for _, c := range []*browser{b, other} {
				for _, p := range []string{"/click", "/total/click"} {
					if a := c.do("POST", p); a.status != 200 {
						t.Errorf("%s while a body comes slowly: %v", p, a)
					}
				}
			}
		}
		_ = in.Close()
		want := "abcde6"
		if path == "/all/text" {
			want = "abcde21"
		}
		if a := await(t, "the slow request", slow); a.status != 200 || a.body != want {
			t.Errorf("the slow request: %v, want %q", a, want)
		}
	}

	// One that breaks off changes nothing.
	before := b.do("GET", "/").body
	body, in := io.Pipe()
	go func() {
		_, _ = in.Write([]byte("half"))
		_ = in.CloseWithError(errors.New("gone"))
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if a, err := b.clone().send(ctx, "POST", "/own/text", body); err == nil && a.status == 200 {
		t.Errorf("half a body was taken: %v", a)
	}
	b.want("GET", "/", 200, before)
}
