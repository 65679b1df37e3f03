// Package fromscs holds the programs of docs/from-scs.md: a shop on scs, the
// same shop on Stay, and what takes its visitors from one to the other.
package fromscs

import (
	"fmt"
	"net/http"

	"github.com/alexedwards/scs/v2"
)

// Check says whether the password is right.
type Check func(name, password string) bool

// Before is the shop on scs.
func Before(sessions *scs.SessionManager, check Check) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		items, _ := sessions.Get(r.Context(), "items").([]string)
		_, _ = fmt.Fprintf(w, "%s: %v", sessions.GetString(r.Context(), "user"), items)
	})
	mux.HandleFunc("POST /basket", func(w http.ResponseWriter, r *http.Request) {
		items, _ := sessions.Get(r.Context(), "items").([]string)
		items = append(items, r.FormValue("item")) // of two at the same time, one is lost
		sessions.Put(r.Context(), "items", items)
		_, _ = fmt.Fprint(w, items)
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		if !check(r.FormValue("name"), r.FormValue("password")) {
			http.Error(w, "wrong password", http.StatusForbidden)
			return
		}
		if err := sessions.RenewToken(r.Context()); err != nil {
			http.Error(w, "try again", http.StatusInternalServerError)
			return
		}
		sessions.Put(r.Context(), "user", r.FormValue("name"))
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	return sessions.LoadAndSave(mux)
}
