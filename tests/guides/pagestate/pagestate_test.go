package pagestate_test

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/tests/guides/pagestate"
)

// The programs of docs/page-state.md do what it says.
//
// Proves B6, W4.
func TestGuideOfPageState(t *testing.T) {
	app := stay.New(memstore.New(), nil)
	server := httptest.NewServer(pagestate.NewHandler(app))
	defer func() {
		server.Close()
		if err := app.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar}
	send := func(method, path, want string, form url.Values, headers ...string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != want {
			t.Errorf("%s %s: %q, %v, want %q", method, path, body, err, want)
		}
	}
	page := []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "same-origin"}
	part := []string{"HX-Request", "true", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "same-origin"}

	send("POST", "/query", `<p>"go", 20 per page</p>`, url.Values{"query": {"go"}}, part...)
	send("GET", "/", `<p>"go", 20 per page</p>`, nil, part...)
	send("GET", "/", `<p>"", 20 per page</p>`, nil, page...)
	send("POST", "/query", `<p>"go", 20 per page</p>`, url.Values{"query": {"go"}}, part...)
	send("POST", "/per-page", `<p>"", 50 per page</p>`, nil, page...) // and the redirect
	send("POST", "/save", "<p>Saved.</p>", nil, page...)
	send("GET", "/notice", "<p></p>", nil, page...)
}
