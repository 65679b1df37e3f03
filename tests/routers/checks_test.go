package routers_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// A check is a column of the table.
type check struct {
	name string
	run  func(x *trial)
}

var checks = []check{
	{"cookie at first use", checkCookie},
	{"sessions, logins", checkSessions},
	{"`r.PathValue` in `web.Update`", checkPathValues},
	{"errors", checkErrors},
	{"streams", checkStreams},
	{"WebSocket", checkSockets},
	{"panics", checkPanics},
	{"other sites kept out", checkOrigins},
	{"`web.Actions`", checkActions},
}

// patience is how long an answer may take.
const patience = 20 * time.Second

// browser returns a client with its own cookies.
type browser struct {
	*trial
	client *http.Client
}

func (x *trial) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		x.Fatal(err)
	}
	transport := x.client.Transport.(*http.Transport).Clone()
	x.Cleanup(transport.CloseIdleConnections)
	return &browser{x, &http.Client{Transport: transport, Jar: jar, Timeout: patience}}
}

type answer struct {
	status int
	header http.Header
	body   string
}

// do makes a request. Every further pair is a header.
func (b *browser) do(method, path string, header ...string) answer {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), method, b.url+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := b.client.Do(req)
	if err != nil {
		b.Error(err)
		return answer{}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.Error(err)
	}
	return answer{res.StatusCode, res.Header, string(body)}
}

func (b *browser) want(method, path string, status int, body string, header ...string) answer {
	b.Helper()
	a := b.do(method, path, header...)
	if a.status != status || a.body != body {
		b.Errorf("%s %s: %d %q, want %d %q", method, path, a.status, a.body, status, body)
	}
	return a
}

// The cookie arrives with the first use, in handlers of package web and in
// those of the router, with the headers that keep it out of shared caches.
// Later answers have no cookie, and a handler that uses no session sends
// neither.
func checkCookie(x *trial) {
	for path, body := range map[string]string{"/": "0 ", "/own": "0"} {
		b := x.browser()
		a := b.want("GET", "/plain", 200, "plain")
		if len(a.header["Set-Cookie"])+len(a.header["Vary"])+len(a.header["Cache-Control"]) != 0 {
			x.Errorf("a page without state has the headers %v", a.header)
		}
		a = b.want("GET", path, 200, body)
		if n := len(a.header["Set-Cookie"]); n != 1 {
			x.Errorf("GET %s: %d cookies", path, n)
		}
		for range 2 {
			if a.header.Get("Vary") != "Cookie" || a.header.Get("Cache-Control") != "private, no-store" {
				x.Errorf("GET %s: Vary %q, Cache-Control %q", path, a.header["Vary"], a.header["Cache-Control"])
			}
			if a = b.want("GET", path, 200, body); len(a.header["Set-Cookie"]) != 0 {
				x.Errorf("GET %s: a second cookie", path)
			}
		}
	}
}

// Each browser has its own session, however many use the router at a time, and
// their state stays as it was when the router reuses its memory. A login keeps
// the state and replaces the cookie.
func checkSessions(x *trial) {
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			b, user := x.browser(), fmt.Sprint("user-", i, strings.Repeat("x", i))
			for n := range 5 {
				b.want("POST", "/add/1", 200, fmt.Sprint(2*n+1, " "))
				b.want("POST", "/own/1", 200, fmt.Sprint(2*n+2))
			}
			if a := b.want("POST", "/login/"+user, 200, "0"); len(a.header["Set-Cookie"]) != 1 {
				x.Errorf("a login sets %d cookies", len(a.header["Set-Cookie"]))
			}
			for n := range 3 {
				b.want("POST", "/doc/"+user, 200, fmt.Sprint(n+1))
				b.want("POST", "/add/1", 200, fmt.Sprint(n+11, " "))
			}
		})
	}
	all.Wait()
	users := 0
	for key, err := range x.site.Counter.Keys(x.Context()) {
		sessions := 0
		for _, err := range x.site.App.Sessions(x.Context(), key) {
			if err != nil {
				x.Error(err)
			}
			sessions++
		}
		if users++; err != nil || sessions != 1 {
			x.Errorf("the user %q has %d sessions, %v", key, sessions, err)
		}
	}
	docs := 0
	for key, err := range x.site.Docs.Keys(x.Context()) {
		d, getErr := x.site.Docs.At(key).Get(x.Context())
		if docs++; err != nil || getErr != nil || d.Name != key || d.Count != 3 {
			x.Errorf("the doc %q is %v, %v, %v", key, d, err, getErr)
		}
	}
	if users != 6 || docs != 6 {
		x.Errorf("6 users made %d states and %d docs", users, docs)
	}
}

// The path's parameters reach the function of web.Update, decoded, and what the
// function keeps of them does not change later.
func checkPathValues(x *trial) {
	a, b := x.browser(), x.browser()
	a.want("POST", "/add/2", 200, "2 ")
	a.want("POST", "/add/-1", 200, "1 ")
	a.want("POST", "/note/caf%C3%A9-au-lait", 200, "1 café-au-lait")
	for i := range 20 {
		b.want("POST", fmt.Sprintf("/note/%02d%s", i, strings.Repeat("y", 10)), 200, fmt.Sprintf("0 %02d%s", i, strings.Repeat("y", 10)))
	}
	a.want("GET", "/", 200, "1 café-au-lait")
}

// Errors have the status and the text that package web gives them, with the
// cookie: those of web.Update, and those that a handler of the router returns
// to the router. The router's own errors stay as they are.
func checkErrors(x *trial) {
	for _, path := range []string{"/add/x", "/own/x"} {
		b := x.browser()
		a := b.want("POST", path, 422, "n: is no number\n")
		if len(a.header["Set-Cookie"]) != 1 || a.header.Get("Vary") != "Cookie" {
			x.Errorf("POST %s: cookies %q, Vary %q", path, a.header["Set-Cookie"], a.header["Vary"])
		}
		if t := a.header["Content-Type"]; len(t) != 1 || t[0] != "text/plain; charset=utf-8" {
			x.Errorf("POST %s: Content-Type %q", path, t)
		}
		a = b.do("POST", path, "Accept", "application/json")
		if a.status != 422 || !json.Valid([]byte(a.body)) || !strings.Contains(a.body, `"n":"is no number"`) || !strings.Contains(a.header.Get("Content-Type"), "json") {
			x.Errorf("POST %s by a script: %v", path, a)
		}
		b.want("GET", "/own", 200, "0")
		if a := b.do("POST", "/nowhere"); a.status != 404 || a.body == "" || strings.Contains(a.body, "Internal") {
			x.Errorf("no route: %v", a)
		}
	}
	if err := x.site.App.Close(x.Context()); err != nil {
		x.Fatal(err)
	}
	for _, path := range []string{"/add/1", "/own/1"} {
		if a := x.browser().do("POST", path); a.status != 503 || a.header.Get("Retry-After") != "1" || a.body == "" {
			x.Errorf("POST %s with an App that is closed: %v", path, a)
		}
	}
}

// A stream sends each event as it is made, beside other requests of its
// session, and its first use brings the cookie. One stream is a handler of
// net/http, the other is written for the router.
func checkStreams(x *trial) {
	for _, path := range []string{"/stream", "/own-stream"} {
		x.checkStream(path)
	}
}

func (x *trial) checkStream(path string) {
	b := x.browser()
	ctx, cancel := context.WithTimeout(x.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", x.url+path, nil)
	if err != nil {
		x.Fatal(err)
	}
	res, err := b.client.Do(req)
	if err != nil {
		x.Fatal(err)
	}
	defer res.Body.Close()
	if n := len(res.Header["Set-Cookie"]); n != 1 || res.Header.Get("Content-Type") != "text/event-stream" {
		x.Errorf("%s has %d cookies and the type %q", path, n, res.Header["Content-Type"])
	}
	next := func(more bool) {
		select {
		case x.site.Next <- more:
		case <-ctx.Done():
			x.Fatalf("%s does not go on", path)
		}
	}
	events := bufio.NewScanner(res.Body)
	for i := range 3 {
		if !events.Scan() || events.Text() != fmt.Sprint("data: ", i) {
			x.Fatalf("%s: event %d: %q, %v", path, i, events.Text(), events.Err())
		}
		events.Scan() // the empty line
		b.want("POST", "/own/1", 200, fmt.Sprint(i+1))
		next(i < 2)
	}
	if events.Scan() || events.Err() != nil {
		x.Errorf("%s ends with %q, %v", path, events.Text(), events.Err())
	}
}

// A WebSocket changes the state of the session that a page began. Without a
// session it cannot begin one, so it changes nothing.
func checkSockets(x *trial) {
	b := x.browser()
	b.want("POST", "/own/5", 200, "5")
	conn := b.dial()
	for i := range 3 {
		if got, err := b.exchange(conn); err != nil || got != fmt.Sprint(6+i) {
			x.Fatalf("message %d is answered with %q, %v", i, got, err)
		}
		b.want("GET", "/own", 200, fmt.Sprint(6+i))
	}
	if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		x.Error(err)
	}
	stranger := x.browser()
	conn = stranger.dial()
	got, err := stranger.exchange(conn)
	if closed := (websocket.CloseError{}); !errors.As(err, &closed) || closed.Code != websocket.StatusInternalError || closed.Reason != "internal" {
		x.Errorf("a WebSocket without a session answers %q, %v", got, err)
	}
}

func (b *browser) dial() *websocket.Conn {
	b.Helper()
	client := *b.client
	client.Timeout = 0
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, b.url+"/socket", &websocket.DialOptions{HTTPClient: &client})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

func (b *browser) exchange(conn *websocket.Conn) (string, error) {
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	if err := conn.Write(ctx, websocket.MessageText, []byte("click")); err != nil {
		return "", err
	}
	_, text, err := conn.Read(ctx)
	return string(text), err
}

// A panic is answered with 500, reveals nothing to the client, and commits
// nothing.
func checkPanics(x *trial) {
	b := x.browser()
	b.want("POST", "/own/5", 200, "5")
	for _, path := range []string{"/panic", "/own-panic"} {
		if a := b.do("POST", path); a.status != 500 || strings.Contains(a.body, "hunter2") {
			x.Errorf("POST %s: %v", path, a)
		}
		b.want("GET", "/", 200, "5 ")
	}
}

// Requests of other origins that could change anything, or that begin a
// WebSocket, are refused before a handler runs. Cookies of other sites do not
// count.
func checkOrigins(x *trial) {
	b := x.browser()
	b.want("POST", "/own/5", 200, "5")
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.test"}} {
		for _, path := range []string{"/add/1", "/own/1"} {
			b.want("POST", path, 403, "this request came from another site\n", header...)
		}
	}
	b.want("POST", "/own/1", 200, "6", "Origin", x.url)
	a := b.do("GET", "/socket", "Origin", "https://evil.test", "Connection", "Upgrade", "Upgrade", "websocket",
		"Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg==")
	if a.status != 403 || a.body != "this request came from another site\n" {
		x.Errorf("a WebSocket of another site: %v", a)
	}
	b.want("GET", "/own", 200, "6")
	checkPlanted(x)
}

// If a second cookie of the same name comes, someone has planted it, perhaps
// another site of the domain. So neither counts, and none is set.
func checkPlanted(x *trial) {
	cookies := make([]string, 2)
	for i := range cookies {
		cookies[i], _, _ = strings.Cut(x.browser().want("POST", "/own/5", 200, "5").header.Get("Set-Cookie"), ";")
	}
	for _, path := range []string{"/", "/own"} {
		for _, c := range cookies {
			if a := x.browser().do("GET", path, "Cookie", c); !strings.HasPrefix(a.body, "5") {
				x.Errorf("GET %s with one cookie: %q", path, a.body)
			}
		}
		if a := x.browser().do("GET", path, "Cookie", cookies[0]+"; "+cookies[1]); !strings.HasPrefix(a.body, "0") || len(a.header["Set-Cookie"]) != 0 {
			x.Errorf("GET %s with two cookies: %q, cookies %q", path, a.body, a.header["Set-Cookie"])
		}
	}
}

// The actions of a state are served below a part of the path.
func checkActions(x *trial) {
	b := x.browser()
	for i := range 2 {
		if a := b.do("POST", "/state/counter/increment"); a.status != 200 || !strings.Contains(a.body, fmt.Sprintf(`"count":%d`, i+1)) {
			x.Errorf("an action: %v", a)
		}
	}
	b.want("GET", "/", 200, "2 ")
	for _, path := range []string{"/state/counter/nothing", "/state/x/counter/increment", "/state/%63ounter/increment"} {
		if a := b.do("POST", path); a.status < 400 {
			x.Errorf("POST %s: %v", path, a)
		}
	}
}
