package logins

import (
	"fmt"
	"net/http"

	"github.com/stay-go/stay/web"
)

// everybody shows the sessions of all, fifty on a page.
func (s *Site) everybody(w http.ResponseWriter, r *http.Request) error {
	n := 0
	for session, err := range s.app.AllSessions(r.Context(), r.FormValue("after")) {
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(w, session.ID(), session.User(), session.Device(), session.LastSeen()); err != nil {
			return err
		}
		if n++; n == 50 {
			break // the next page begins after this ID
		}
	}
	return nil
}

// providerHandler serves the site with a callback that a provider posts to.
func (s *Site) providerHandler(mux *http.ServeMux, callback func(http.ResponseWriter, *http.Request) error) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.AddInsecureBypassPattern("POST /callback") // lets the provider's form pass
	mux.Handle("POST /callback", web.FormPost(web.Handle(callback)))
	return web.Sessions(s.app, &web.Options{CrossOrigin: cross})(mux)
}
