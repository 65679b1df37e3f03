package inspect_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/inspect"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/web"
)

// newHandler returns a program with an inspector for those who look after it.
func newHandler(app *stay.App, admins map[string]bool) http.Handler {
	isAdmin := func(r *http.Request) bool {
		return admins[stay.SessionFrom(r.Context()).User()]
	}
	mux := http.NewServeMux()
	mux.Handle("/debug/stay/", inspect.Handler(app, isAdmin, nil))
	// ... the program's own pages
	return web.Sessions(app, nil)(mux)
}

func Example() {
	app := stay.New(memstore.New(), nil)
	defer app.Close(context.Background())
	handler := newHandler(app, map[string]bool{"ann": true})

	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest("GET", "/debug/stay/", nil))
	fmt.Println("for a stranger:", w.Code)

	// Output: for a stranger: 404
}
