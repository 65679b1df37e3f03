package socket_test

import (
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/stay-go/stay"
	"github.com/stay-go/stay/staytest"
	"github.com/stay-go/stay/tests/guides/socket"
	"github.com/stay-go/stay/web"
)

// The socket of docs/websockets.md stores what comes through it in the session
// whose cookie came with the handshake, and the other one sends what is stored. Both
// are closed when the session is over.
//
// Proves L4.
func TestGuideOfWebSockets(t *testing.T) {
	app := staytest.App(t, nil)
	board := stay.Register(app, stay.Module[socket.Board]{Name: "board", Persist: stay.PerSession})
	mux := http.NewServeMux()
	mux.Handle("/", socket.NewHandler(board))
	mux.Handle("POST /leave", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		return stay.SessionFrom(r.Context()).Destroy(r.Context())
	}))
	server := httptest.NewServer(web.Sessions(app, nil)(mux))
	defer server.Close()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	ctx := t.Context()
	dial := func(path string) *websocket.Conn {
		conn, resp, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(server.URL, "http")+path, &websocket.DialOptions{HTTPClient: client})
		if err != nil {
			t.Fatal(err)
		}
		if u, err := url.Parse(server.URL); err == nil { // a jar knows no ws://
			jar.SetCookies(u, resp.Cookies())
		}
		return conn
	}
	point := func(conn *websocket.Conn, want int) error {
		if err := wsjson.Write(ctx, conn, socket.Point{X: 1, Y: 2}); err != nil {
			return err
		}
		var n int
		if err := wsjson.Read(ctx, conn, &n); err != nil {
			return err
		}
		if n != want {
			t.Errorf("%d points are stored, want %d", n, want)
		}
		return nil
	}
	// The first request of this browser is the handshake.
	first := dial("/socket")
	defer func() { _ = first.CloseNow() }()
	for n := 1; n <= 2; n++ {
		if err := point(first, n); err != nil {
			t.Fatal(err)
		}
	}
	second := dial("/socket")
	defer func() { _ = second.CloseNow() }()
	if err := point(second, 3); err != nil {
		t.Fatal(err)
	}
	// Another tab sees each point, the newest board is the last it sees.
	tab := dial("/watch")
	defer func() { _ = tab.CloseNow() }()
	sees := func(n int) error {
		for {
			var b socket.Board
			if err := wsjson.Read(ctx, tab, &b); err != nil || len(b.Points) == n {
				return err
			}
		}
	}
	for n := 3; n <= 5; n++ {
		if err := sees(n); err != nil {
			t.Fatalf("a tab that watches: %v", err)
		}
		if err := point(first, n+1); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := client.Post(server.URL+"/leave", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := point(second, 7); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("a message of a session that is over: %v", err)
	}
	if err := sees(100); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("a tab of a session that is over: %v", err)
	}
}
