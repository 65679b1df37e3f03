package presence_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stay-go/stay/staytest"
	"github.com/stay-go/stay/tests/guides/presence"
	"github.com/stay-go/stay/web"
)

// The room of docs/presence.md shows who is there, as they come, and counts who has
// come.
//
// Proves L24, L25.
func TestGuideOfPresence(t *testing.T) {
	app := staytest.App(t, nil)
	server := httptest.NewServer(web.Sessions(app, nil)(presence.NewHandler(app)))
	defer server.Close()
	defer server.CloseClientConnections()
	browser := func(user string) *http.Client {
		jar, _ := cookiejar.New(nil)
		c := &http.Client{Jar: jar}
		for path, form := range map[string]url.Values{"/login": {"user": {user}}, "/tea": nil} {
			res, err := c.PostForm(server.URL+path, form)
			if err != nil || res.StatusCode != 200 {
				t.Fatal(path, err, res)
			}
			_ = res.Body.Close()
		}
		return c
	}
	enter := func(c *http.Client) *bufio.Reader {
		res, err := c.Get(server.URL + "/tea/live")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = res.Body.Close() })
		return bufio.NewReader(res.Body)
	}
	await := func(r *bufio.Reader, text string) {
		t.Helper()
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("waiting for %q: %v", text, err)
			}
			if strings.Contains(line, text) {
				return
			}
		}
	}
	ann := browser("ann")
	page := enter(ann)
	await(page, "<li>ann<li>and 0 guests")
	enter(browser("<bob>"))
	await(page, "<li>ann<li>&lt;bob&gt;<li>and 0 guests")
	enter(&http.Client{})
	await(page, "and 1 guests")
	for got := ""; got != "2"; {
		res, err := ann.Get(server.URL + "/visits")
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if got = string(b); len(got) != 1 || got > "2" {
			t.Fatalf("%s have come", got)
		}
	}
}
