package system_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/web"
)

// The handlers work under a router of others and its middleware, wherever
// Sessions stands: with path parameters in every run, actions, compression and
// recovery; a stream sends each event as it is made.
//
// Proves B8.
func TestUnderChi(t *testing.T) {
	for name, sessionsFirst := range map[string]bool{"Sessions outside": true, "Sessions inside": false} {
		t.Run(name, func(t *testing.T) {
			x := &site{t: t}
			x.app = newApp(t, memstore.New(), nil)
			counter := stay.Register(x.app, stay.Module[Counter]{
				Name: "counter", Persist: stay.PerSession,
				Actions: stay.Actions[Counter]{"say": stay.WithPayload(func(_ *stay.Call, c *Counter, in struct {
					Text string `json:"text"`
				},
				) error {
					c.Text = in.Text
					return nil
				})},
			})
			x.counter = counter
			r := chi.NewRouter()
			if sessionsFirst {
				r.Use(web.Sessions(x.app, nil))
			}
			r.Use(middleware.RequestID, middleware.RequestLogger(quiet{}), middleware.Recoverer, middleware.Timeout(patience), middleware.Compress(5), middleware.StripSlashes)
			if !sessionsFirst {
				r.Use(web.Sessions(x.app, nil))
			}
			next := make(chan struct{})
			r.Get("/", web.View(counter, show))
			r.Route("/counters", func(r chi.Router) {
				r.Post("/add/{n}", web.Update(counter, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
					n, err := number(chi.URLParam(r, "n"))
					if err != nil {
						return stay.Invalid("n", "is no number")
					}
					c.Count += n
					return show(w, r, c)
				}))
				r.With(middleware.NoCache).Post("/say", web.Do(counter, "say", func(w http.ResponseWriter, _ *http.Request, c *Counter) error {
					_, err := fmt.Fprint(w, c.Text)
					return err
				}))
				r.Post("/panic", web.Update(counter, func(_ http.ResponseWriter, _ *http.Request, c *Counter) error {
					c.Count = 1000
					panic("sorry")
				}))
				r.Get("/stream", func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					rc := http.NewResponseController(w)
					for {
						c, err := counter.Get(r.Context())
						if err != nil {
							web.Error(w, r, err)
							return
						}
						fmt.Fprintf(w, "data: %d\n\n", c.Count)
						if err := rc.Flush(); err != nil {
							t.Errorf("Flush: %v", err)
							return
						}
						select {
						case <-next:
						case <-r.Context().Done():
							return
						}
					}
				})
			})
			x.listen(r)

			b := x.browser()
			b.want("POST", "/counters/add/2", 200, "2")
			b.want("POST", "/counters/add/3/", 200, "5")
			b.want("POST", "/counters/add/x", 422, "n: is no number\n")
			b.want("GET", "/counters/add/1", 405, "")
			b.want("POST", "/nowhere", 404, "404 page not found\n")
			if a := b.do("POST", "/counters/panic"); a.status != 500 || strings.Contains(a.body, "sorry") {
				t.Errorf("a panic under Recoverer: %v", a)
			}
			b.want("GET", "/", 200, "5")

			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, "POST", x.url+"/counters/say", strings.NewReader("text=ahoy"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("Cookie", "stay="+b.cookie)
			res, err := b.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := bufio.NewReader(res.Body).ReadString('\n')
			_ = res.Body.Close()
			if res.StatusCode != 200 || text != "ahoy" {
				t.Errorf("an action: %d %q", res.StatusCode, text)
			}

			req, err = http.NewRequestWithContext(ctx, "GET", x.url+"/counters/stream", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Cookie", "stay="+b.cookie)
			res, err = b.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			events := bufio.NewScanner(res.Body)
			for i := range 3 {
				if !events.Scan() || events.Text() != fmt.Sprint("data: ", 5+i) {
					t.Fatalf("event %d: %q, %v", i, events.Text(), events.Err())
				}
				events.Scan() // the empty line
				// Other requests of the session go on beside the stream.
				b.want("POST", "/counters/add/1", 200, fmt.Sprint(6+i))
				select {
				case next <- struct{}{}:
				case <-time.After(patience):
					t.Fatal("the stream does not go on")
				}
			}
		})
	}
}

// quiet logs nothing, not even what Recoverer has to say.
type quiet struct{}

func (quiet) NewLogEntry(*http.Request) middleware.LogEntry   { return quiet{} }
func (quiet) Write(int, int, http.Header, time.Duration, any) {}
func (quiet) Panic(any, []byte)                               {}
