// Command quickstart counts clicks: each browser has its own number, and it
// survives reload, restart and crash.
package main

import (
	"fmt"
	"log"
	"net/http"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/sqlitestore"
	"github.com/stay-go/stay/web"
)

type Counter struct {
	Count int `json:"count"`
}

func main() {
	store, err := sqlitestore.Open("app.db")
	if err != nil {
		log.Fatal(err)
	}
	app := stay.New(store, &stay.Options{Development: true}) // shows causes of errors; not for production

	counter := stay.Register(app, stay.Module[Counter]{
		Name:    "counter",
		Persist: stay.PerSession, // or stay.Global: one for everybody
	})

	http.Handle("GET /{$}", web.View(counter, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		_, err := fmt.Fprintf(w, `<!doctype html><form method="post" action="%s"><button>%d clicks</button></form>`, web.Once("/increment"), c.Count)
		return err
	}))
	http.Handle("POST /increment", web.Update(counter, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		c.Count++ // one transaction: the response leaves when it is on disk
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}))
	log.Fatal(http.ListenAndServe("127.0.0.1:3000", web.Sessions(app, nil)(http.DefaultServeMux)))
}
