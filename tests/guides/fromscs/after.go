package fromscs

import (
	"fmt"
	"net/http"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// Basket belongs to a browser, as it did with scs.
type Basket struct {
	Items []string `json:"items"`
}

// After is the shop on Stay. Sources are where visitors come from; see Import.
func After(app *stay.App, check Check, sources ...Source) http.Handler {
	basket := stay.Register(app, stay.Module[Basket]{Name: "basket", Persist: stay.PerSession})

	mux := http.NewServeMux()
	mux.Handle("GET /{$}", web.View(basket, func(w http.ResponseWriter, r *http.Request, b *Basket) error {
		_, err := fmt.Fprintf(w, "%s: %v", stay.SessionFrom(r.Context()).User(), b.Items)
		return err
	}))
	mux.Handle("POST /basket", web.Update(basket, func(w http.ResponseWriter, r *http.Request, b *Basket) error {
		b.Items = append(b.Items, r.FormValue("item")) // one after the other
		_, err := fmt.Fprint(w, b.Items)
		return err
	}))
	mux.Handle("POST /login", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		if !check(r.FormValue("name"), r.FormValue("password")) {
			return stay.ErrDenied
		}
		if err := stay.SessionFrom(r.Context()).Login(r.Context(), r.FormValue("name")); err != nil {
			return err
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}))
	var handler http.Handler = mux
	for _, from := range sources {
		handler = Import(from, basket, handler)
	}
	return web.Sessions(app, nil)(handler)
}
