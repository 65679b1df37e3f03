package frontends_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/tests/browsertest"
	"github.com/stay-go/stay/web"
)

// guided returns the pieces of HTML that docs/forms-and-errors.md recommends for
// htmx: what stands in the head of a page, and what stands in its body.
func guided(t *testing.T) (head, body string) {
	t.Helper()
	guide, err := os.ReadFile("../../docs/forms-and-errors.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?s)```html\n(.*?)```").FindAllSubmatch(guide, -1) {
		if text := string(block[1]); regexp.MustCompile(`^<meta name="htmx-config"`).MatchString(text) {
			head += text
		} else if regexp.MustCompile("htmx:responseError").MatchString(text) {
			body += text
		}
	}
	if head == "" || body == "" {
		t.Fatal("the guide has no configuration of htmx, or no listener")
	}
	return head, body
}

// With what the guide recommends, an action that is refused leaves the page as it
// is and says why, and a form comes back with its messages.
//
// Proves W6.
func TestARefusedActionLeavesThePageOfHTMX(t *testing.T) {
	t.Parallel()
	head, body := guided(t)
	app := stay.New(memstore.New(), nil)
	carts := stay.Register(app, stay.Module[Strict]{
		Name: "cart", Persist: stay.PerSession,
		Actions: stay.Actions[Strict]{"more": func(*stay.Call, *Strict) error { return stay.Invalid("", "no more of <it>") }},
	})
	mux := http.NewServeMux()
	for _, version := range []string{"2", "4"} {
		file := map[string]string{"2": "../../examples/internal/serve/static/htmx-2.0.11.min.js", "4": "../pageload/testdata/htmx-4.0.1.min.js"}[version]
		mux.HandleFunc("GET /htmx"+version+".js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
		mux.HandleFunc("GET /page/"+version, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = fmt.Fprintf(w, `<!doctype html><title>x</title><link rel="icon" href="data:,"><script src="/htmx%s.js"></script>%s<body>%s
<div id="cart"><b>one cup</b>
	<button id="more" hx-post="/more" hx-target="#cart" hx-swap="outerHTML">more</button>
	<button id="denied" hx-post="/denied" hx-target="#cart" hx-swap="outerHTML">denied</button></div>
<a id="boosted" hx-boost="true" href="/refused">go</a>
<form id="form" hx-post="/form" hx-target="#form" hx-swap="outerHTML"><button id="send">send</button></form>`, version, head, body)
		})
	}
	mux.Handle("POST /more", web.Do(carts, "more", func(http.ResponseWriter, *http.Request, *Strict) error { return nil }))
	mux.Handle("POST /denied", web.Handle(func(http.ResponseWriter, *http.Request) error { return stay.ErrDenied }))
	mux.Handle("GET /refused", web.Handle(func(http.ResponseWriter, *http.Request) error { return stay.Invalid("", "not this way") }))
	mux.Handle("POST /form", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		form, _ := web.ReadForm[Strict](r)
		return form.Again(stay.Invalid("", "try again"), func(w http.ResponseWriter) error {
			_, err := fmt.Fprintf(w, `<form id="form"><i id="wrong">%s</i></form>`, form.Error(""))
			return err
		})
	}))
	server := httptest.NewServer(web.Sessions(app, nil)(mux))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		if err := app.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	browser := browsertest.Start(t)
	for _, version := range []string{"2", "4"} {
		page := browser.NewPage(t)
		page.Goto(server.URL + "/page/" + version)
		htmx(page)
		for _, step := range []struct{ click, says string }{
			{"#more", "no more of <it>"}, {"#denied", "Forbidden"}, {"#boosted", "not this way"},
		} {
			page.Click(step.click)
			page.WantText("#failed [role=alert]", step.says)
			page.WantText("#cart b", "one cup")
			page.WantValue("the address of htmx "+version+" after "+step.click, "location.pathname", "/page/"+version)
		}
		page.Click("#send")
		page.WantText("#wrong", "try again")
		page.WantText("#failed", "not this way") // the form is not shown twice
	}
}
