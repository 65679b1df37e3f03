package pageload_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/tests/browsertest"
	"github.com/stay-go/stay/web"
)

// The page of FormPost posts by itself whatever the fields of the other site are
// called, also as what scripts know a form by.
//
// Proves W7.
func TestFormPostPostsFieldsOfAnyName(t *testing.T) {
	t.Parallel()
	app := stay.New(memstore.New(), nil)
	t.Cleanup(func() { _ = app.Close(context.Background()) })
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<p>%s</p>`, stay.SessionFrom(r.Context()).ID())
	})
	mux.Handle("POST /callback", web.FormPost(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<p>%s</p><b>%s %s %s</b>`, stay.SessionFrom(r.Context()).ID(), r.FormValue("submit"), r.FormValue("action"), r.FormValue("forms"))
	})))
	cross := http.NewCrossOriginProtection()
	cross.AddInsecureBypassPattern("POST /callback")
	shop := httptest.NewServer(web.Sessions(app, &web.Options{CrossOrigin: cross})(mux))
	t.Cleanup(shop.Close)
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, `<form method="post" action="`+shop.URL+`/callback">`)
		for _, name := range []string{"submit", "action", "method", "forms", "prototype", "call"} {
			fmt.Fprintf(w, `<input type="hidden" name="%s" value="%s">`, name, strings.ToUpper(name))
		}
		io.WriteString(w, `<button>Back to the shop</button></form>`)
	}))
	t.Cleanup(provider.Close)
	page := browsertest.Start(t).NewPage(t)
	page.Goto(shop.URL)
	guest := page.Text("p")
	page.Goto(strings.Replace(provider.URL, "127.0.0.1", "localhost", 1))
	page.Click("button")
	page.WantText("b", "SUBMIT ACTION FORMS")
	page.WantText("p", guest)
}
