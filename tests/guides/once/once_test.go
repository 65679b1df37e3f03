package once_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/tests/guides/once"
)

// The programs of docs/exactly-once.md do what it says.
//
// Proves B6, L29, L33.
func TestGuideOfExactlyOnce(t *testing.T) {
	app := stay.New(memstore.New(), nil)
	orders, handler := once.NewHandler(app)
	server := httptest.NewServer(handler)
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
	send := func(method, path, contentType, body string, headers ...string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", contentType)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		b, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %d %s %v", method, path, res.StatusCode, b, err)
		}
		return string(b)
	}
	action := regexp.MustCompile(`action="([^"]*)"`).FindStringSubmatch(send("GET", "/", "", ""))[1]
	for i := range 2 {
		answer := send("POST", action, "application/x-www-form-urlencoded", "item=tea", "Sec-Fetch-Mode", "navigate", "Referer", server.URL+"/")
		if !strings.Contains(answer, fmt.Sprint(1+i, " ordered")) {
			t.Errorf("the form: %s", answer)
		}
		answer = send("POST", "/state/order/add", "application/json", `{"item":"milk"}`, "Idempotency-Key", `"8e03978e"`)
		if answer != `{"items":["tea","milk"]}` {
			t.Errorf("fetch: %s", answer)
		}
	}
	acknowledged := 0
	m := &once.Message{ID: "m1", Customer: "ann", Line: once.Line{Item: "tea"}, Ack: func() error {
		acknowledged++
		return nil
	}}
	for range 3 {
		if err := once.Consume(t.Context(), orders, m); err != nil {
			t.Error(err)
		}
	}
	if o, err := orders.At("ann").Get(t.Context()); err != nil || len(o.Items) != 1 || acknowledged != 3 {
		t.Errorf("%v %v, acknowledged %d times", o, err, acknowledged)
	}
}
