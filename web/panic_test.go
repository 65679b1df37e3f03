package web_test

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// panicking returns handlers whose functions panic with what, one of each kind.
func (s *site) panicking(what any) http.Handler {
	boom := func(http.ResponseWriter, *http.Request, *Counter) error { panic(what) }
	module := stay.Register(s.app, stay.Module[Counter]{
		Name: "boom", Persist: stay.PerSession,
		Actions: stay.Actions[Counter]{
			"fine": func(*stay.Call, *Counter) error { return nil },
			"boom": func(*stay.Call, *Counter) error { panic(what) },
		},
	})
	mux := http.NewServeMux()
	mux.Handle("/view", web.View(module, boom))
	mux.Handle("/update", web.Update(module, boom))
	mux.Handle("/do", web.Do(module, "fine", boom))
	mux.Handle("/action", web.Do(module, "boom", boom))
	mux.Handle("/handle", web.Handle(func(w http.ResponseWriter, _ *http.Request) error {
		_, _ = w.Write([]byte("half"))
		panic(what)
	}))
	mux.Handle("/state/", web.Actions(module))
	mux.HandleFunc("/sent", func(w http.ResponseWriter, r *http.Request) {
		_, _ = module.Get(r.Context())
		_, _ = w.Write([]byte("half"))
		web.View(module, boom)(w, r)
	})
	return web.Sessions(s.app, nil)(mux)
}

// panicPaths are the paths of panicking that nothing was sent to before.
var panicPaths = []string{"/view", "/update", "/do", "/action", "/handle", "/state/boom/boom"}

// In development a panic is answered with its cause, and its stack is in the log. In production it goes on, for a middleware or for net/http.
//
// Proves W6.
func TestAPanicIsAnsweredInDevelopmentOnly(t *testing.T) {
	for _, development := range []bool{true, false} {
		s := newSite(t, func(o *stay.Options) { o.Development = development })
		server := httptest.NewUnstartedServer(s.panicking("the roof is on fire"))
		server.Config.ErrorLog = log.New(io.Discard, "", 0) // of those that go on
		server.Start()
		t.Cleanup(server.Close)
		for _, path := range panicPaths {
			before := len(s.log.String())
			resp, err := server.Client().Post(server.URL+path, "", nil)
			if answered := err == nil; answered != development {
				t.Errorf("development %t, %s: %v", development, path, err)
				continue
			}
			if text := s.log.String()[before:]; strings.Count(text, "a handler panicked: the roof is on fire") == 1 != development ||
				strings.Contains(text, "panic_test.go:") != development {
				t.Errorf("development %t, %s: the log says %q", development, path, text)
			}
			if !development {
				continue
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			const want = "Internal Server Error\nOnly with stay.Options.Development: stay: internal: panic: the roof is on fire\n"
			if err != nil || resp.StatusCode != 500 || string(body) != want {
				t.Errorf("%s: %d %q, %v", path, resp.StatusCode, body, err)
			}
		}
	}
}

// A handler that gives up its answer does so in development too, and a panic
// after a part of the answer was sent cuts it off, so that nobody takes it for
// the whole.
//
// Proves W6.
func TestInDevelopmentWhatCannotBeAnsweredIsCutOff(t *testing.T) {
	for what, paths := range map[any][]string{http.ErrAbortHandler: panicPaths, "the roof is on fire": {"/sent"}} {
		s := newSite(t, func(o *stay.Options) { o.Development = true })
		h := s.panicking(what)
		for _, path := range paths {
			func() {
				defer func() {
					if p := recover(); p != what {
						t.Errorf("%s: the panic is %v, want %v", path, p, what)
					}
				}()
				send(t, browser(h), "POST", path, "")
			}()
		}
	}
}
