package nodes_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/web"
)

type memo struct {
	Text string `json:"text"`
}

// A streamNode is one of several processes with live pages behind one address, for a
// browser that knows no ports.
type streamNode struct {
	app   *stay.App
	notes *stay.State[memo]
	url   string
}

func newStreamNode(t *testing.T, st store.Store, idle time.Duration) *streamNode {
	t.Helper()
	n := &streamNode{app: testkit.NewApp(t, st, &stay.Options{IdleTimeout: idle})}
	n.notes = stay.Register(n.app, stay.Module[memo]{Name: "note", Persist: stay.PerUser})
	show := func(w io.Writer, s *memo) error { _, err := fmt.Fprint(w, s.Text); return err }
	mux := http.NewServeMux()
	do := func(path string, fn func(x *stay.Session, r *http.Request) error) {
		mux.HandleFunc("POST "+path, web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
			return fn(stay.SessionFrom(r.Context()), r)
		}))
	}
	do("/login", func(x *stay.Session, r *http.Request) error { return x.Login(r.Context(), r.FormValue("user")) })
	do("/logout", func(x *stay.Session, r *http.Request) error { return x.Logout(r.Context()) })
	do("/renew", func(x *stay.Session, r *http.Request) error { return x.Renew(r.Context()) })
	do("/destroy", func(x *stay.Session, r *http.Request) error { return x.Destroy(r.Context()) })
	do("/revoke", func(_ *stay.Session, r *http.Request) error { return n.app.Revoke(r.Context(), r.FormValue("user")) })
	mux.Handle("GET /live", web.Live(web.Part("note", n.notes, show)))
	mux.Handle("/json/", web.Actions(n.notes))
	mux.Handle("GET /private", web.Live(web.PartAt("note", n.notes, func(r *http.Request) (string, error) {
		user := stay.SessionFrom(r.Context()).User()
		if user == "" {
			return "", &stay.Error{Code: stay.ErrDenied, Message: "log in"}
		}
		return user, nil
	}, show)))
	srv := httptest.NewServer(web.Sessions(n.app, nil)(mux))
	t.Cleanup(srv.Close)
	n.url = srv.URL
	return n
}

// post sends a form.
func (n *streamNode) post(t *testing.T, c *http.Client, path string, form url.Values) {
	t.Helper()
	res, err := c.PostForm(n.url+path, form)
	check(t, err)
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", path, res.Status)
	}
}

func (n *streamNode) write(t *testing.T, user, text string) {
	t.Helper()
	_, err := n.notes.At(user).Update(t.Context(), func(s *memo) error { s.Text = text; return nil })
	check(t, err)
}

// open opens a stream, and returns what arrives on it.
func (n *streamNode) open(t *testing.T, c *http.Client, path string) (body *bufio.Reader, end func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	r, err := http.NewRequestWithContext(ctx, "GET", n.url+path, nil)
	check(t, err)
	r.Header.Set("Accept", "text/event-stream")
	res, err := c.Do(r)
	check(t, err)
	return bufio.NewReader(res.Body), func() { cancel(); _ = res.Body.Close() }
}

// Whatever ends a session on one node ends its streams on another at once, where the
// store announces what nodes do; so does its expiry, while the stream is open. The
// stream sends nothing more, whatever is changed, and the client that comes back gets
// nothing of the old owner.
//
// Proves L14, L34, L36.
func TestStreamsOnAnotherNodeEndWithTheirSession(t *testing.T) {
	t.Parallel()
	const idle = 6 * time.Second
	for name, open := range map[string]func(*testing.T, int) []store.Store{"PostgreSQL": onPostgres, "SQLite": onSQLite} {
		t.Run(name, func(t *testing.T) {
			var long, short [2]*streamNode // by how long a session lasts
			stores := open(t, 4)
			for i := range 2 {
				long[i] = newStreamNode(t, stores[i], 24*time.Hour)
				short[i] = newStreamNode(t, stores[2+i], idle)
			}
			for i, path := range []string{"/live", "/json/", "/private"} {
				for _, verb := range []string{"/logout", "/login", "/renew", "/destroy", "/revoke", "expiry"} {
					if verb == "expiry" && path != "/live" {
						continue // it takes its time, and web has it for all
					}
					t.Run(strings.TrimPrefix(verb, "/")+path, func(t *testing.T) {
						nodes, user := long, fmt.Sprint("ann ", i, verb)
						if verb == "expiry" {
							nodes = short
						}
						here, there := nodes[0], nodes[1]
						jar, err := cookiejar.New(nil)
						check(t, err)
						c := &http.Client{Jar: jar}
						here.write(t, user, "secret")
						began := time.Now()
						here.post(t, c, "/login", url.Values{"user": {user}})
						b, end := there.open(t, c, path)
						defer end()
						for text := ""; !strings.Contains(text, "secret"); {
							line, err := b.ReadString('\n')
							if err != nil {
								t.Fatalf("%q, then %v", line, err)
							}
							text += line
						}
						most := 5 * time.Second
						switch verb {
						case "expiry":
							most = idle + 2*time.Second
						case "/login":
							began = time.Now()
							here.post(t, c, verb, url.Values{"user": {"bob"}})
						default:
							began = time.Now()
							here.post(t, c, verb, url.Values{"user": {user}})
						}
						if verb != "expiry" {
							here.write(t, user, "later")
						}
						rest, err := io.ReadAll(b)
						took := time.Since(began)
						if err != nil || strings.Contains(string(rest), "data:") || !strings.Contains(string(rest), "retry: ") {
							t.Errorf("after the end the stream got %q, %v", rest, err)
						}
						if took > most {
							t.Errorf("the stream ended after %v", took)
						}
						there.write(t, user, "later still")
						again, end := there.open(t, c, path)
						defer end()
						line := ""
						for err = nil; err == nil && !strings.HasPrefix(line, "data:"); { // or it is refused
							line, err = again.ReadString('\n')
						}
						if strings.Contains(line, "later") != (verb == "/renew") || strings.Contains(line, "secret") {
							t.Errorf("the client that came back got %q", line)
						}
					})
				}
			}
		})
	}
}
