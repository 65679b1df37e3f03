package main

import (
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/examples/internal/serve"
	"github.com/stay-go/stay/web"
)

// A shop is the site: the App and the states that its handlers use.
type shop struct {
	app      *stay.App
	profiles *stay.State[Profile]
	carts    *stay.State[Cart]
	browsers *stay.State[Browser]
}

// newShop registers the modules with app.
func newShop(app *stay.App) *shop {
	return &shop{
		app:      app,
		profiles: stay.Register(app, profileModule),
		carts:    stay.Register(app, cartModule),
		browsers: stay.Register(app, browserModule),
	}
}

// newHandler returns the whole site. The buttons of the page are forms, so it
// works with and without JavaScript; with it, htmx replaces the parts that
// change.
func newHandler(s *shop) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /static/{file}", serve.Static())
	mux.Handle("GET /{$}", web.Handle(s.home))
	mux.Handle("GET /tea/{id}", web.Handle(s.tea))
	mux.Handle("GET /now", web.Handle(s.now))

	mux.Handle("POST /cart/more", web.Do(s.carts, "more", s.showCart))
	mux.Handle("POST /cart/less", web.Do(s.carts, "less", s.showCart))
	mux.Handle("POST /profile", web.Do(s.profiles, "edit", func(w http.ResponseWriter, r *http.Request, _ *Profile) error {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}))

	mux.Handle("POST /login", web.Handle(s.login))
	mux.Handle("POST /logout", web.Handle(s.logout))
	mux.Handle("POST /devices/{id}/sign-out", web.Handle(s.signOutDevice))
	mux.Handle("POST /devices/sign-out", web.Handle(s.signOutEverywhere))
	return web.Sessions(s.app, &web.Options{Cookie: "account", Error: showError})(mux)
}

// login signs the browser in as the user that the form names: this shop asks
// for no password.
func (s *shop) login(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		User string `json:"user"`
	}
	if err := web.Bind(r, &in); err != nil {
		return err
	}
	user := strings.ToLower(strings.TrimSpace(in.User))
	if user == "" || utf8.RuneCountInString(user) > 40 {
		return stay.Invalid("user", "write a name of 1 to 40 characters")
	}
	// Here a real program finds the account and checks the password, limits the
	// number of attempts, and returns stay.ErrDenied if the password is wrong.
	// Nothing else on this site changes for that: the code below runs for a
	// known user.

	// One step for everything that belongs to users: from here on, cart and
	// profile are the user's, and the browser gets a new cookie.
	ctx := r.Context()
	if err := stay.SessionFrom(ctx).Login(ctx, user); err != nil {
		return err
	}
	if _, err := s.browsers.Update(ctx, func(b *Browser) error {
		b.Name = browserName(r.UserAgent())
		return nil
	}); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// logout leaves the user's cart and profile in the store. The session goes on
// as a guest, with the teas that this browser has looked at.
func (s *shop) logout(w http.ResponseWriter, r *http.Request) error {
	if err := stay.SessionFrom(r.Context()).Logout(r.Context()); err != nil {
		return err
	}
	goTo(w, r, "/")
	return nil
}

// signOutDevice ends another session of the user, with everything that belongs
// to that browser. If it is this session, it is logged out instead: its browser
// waits for a new cookie, which the session from the list cannot send.
func (s *shop) signOutDevice(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	me := stay.SessionFrom(ctx)
	id := r.PathValue("id")
	if id == me.ID() {
		return s.logout(w, r)
	}
	user := me.User()
	if user == "" {
		return stay.ErrDenied
	}
	// The list has only sessions of this user, so no user can end the sessions
	// of others. A session that is no longer in the list has already ended.
	for session, err := range s.app.Sessions(ctx, user) {
		if err != nil {
			return err
		}
		if session.ID() != id {
			continue
		}
		if err := session.Destroy(ctx); err != nil {
			return err
		}
	}
	return s.showDevices(w, r)
}

// signOutEverywhere ends all sessions of the user in one step, including this
// one. After that, Destroy only makes this browser forget its cookie, so that
// it can sign in again at once.
func (s *shop) signOutEverywhere(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	me := stay.SessionFrom(ctx)
	user := me.User()
	if user == "" {
		return stay.ErrDenied
	}
	if err := s.app.Revoke(ctx, user); err != nil {
		return err
	}
	if err := me.Destroy(ctx); err != nil && !errors.Is(err, stay.ErrEnded) {
		return err
	}
	goTo(w, r, "/")
	return nil
}

// goTo makes a browser load a page.
func goTo(w http.ResponseWriter, r *http.Request, path string) {
	if isHTMX(r) {
		w.Header().Set("HX-Redirect", path)
		return
	}
	http.Redirect(w, r, path, http.StatusSeeOther)
}

func isHTMX(r *http.Request) bool {
	return r.Header.Get("HX-Request") == "true"
}

// browserName turns the User-Agent header into a name for people.
func browserName(agent string) string {
	pick := func(other string, names ...[2]string) string {
		for _, n := range names {
			if strings.Contains(agent, n[0]) {
				return n[1]
			}
		}
		return other
	}
	browser := pick("A browser", [][2]string{ // those that name others too come first
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"CriOS/", "Chrome"}, {"Safari/", "Safari"},
	}...)
	system := pick("", [][2]string{
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS", "Mac"}, {"Linux", "Linux"},
	}...)
	if system == "" {
		return browser
	}
	return browser + " on " + system
}
