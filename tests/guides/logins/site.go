// Package logins holds the programs of docs/logins.md.
package logins

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// Profile is what a user has told about themselves.
type Profile struct {
	Name string `json:"name"`
}

// Basket is what a user, or a guest, is about to buy.
type Basket struct {
	Items []string `json:"items"`
}

// Look is how the site looks in one browser, whoever is logged in.
type Look struct {
	Dark bool `json:"dark"`
}

// Accounts know who may log in. Stay does not.
type Accounts interface {
	// Check returns the user's ID, or stay.ErrDenied.
	Check(ctx context.Context, name, password string) (user string, err error)
	// SetPassword takes effect with the next Check.
	SetPassword(ctx context.Context, user, password string) error
}

// Site is a shop with accounts.
type Site struct {
	app      *stay.App
	accounts Accounts
	now      func() time.Time

	profile *stay.State[Profile]
	basket  *stay.State[Basket]
	look    *stay.State[Look]
}

// NewSite registers the site's modules with the app.
func NewSite(app *stay.App, accounts Accounts) *Site {
	return &Site{
		app: app, accounts: accounts, now: time.Now,
		profile: stay.Register(app, stay.Module[Profile]{Name: "profile", Persist: stay.PerUser}),
		basket: stay.Register(app, stay.Module[Basket]{
			Name: "basket", Persist: stay.PerUser,
			Adopt: func(stored, guest *Basket) error {
				stored.Items = append(stored.Items, guest.Items...)
				return nil
			},
		}),
		look: stay.Register(app, stay.Module[Look]{Name: "look", Persist: stay.PerSession}),
	}
}

// Handler serves the site.
func (s *Site) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", web.Handle(s.home))
	mux.Handle("POST /basket", web.Update(s.basket, func(_ http.ResponseWriter, r *http.Request, b *Basket) error {
		b.Items = append(b.Items, r.FormValue("item"))
		return nil
	}))
	mux.Handle("POST /login", web.Handle(s.login))
	mux.Handle("POST /confirm", web.Handle(s.confirm))
	mux.Handle("POST /logout", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		if err := stay.SessionFrom(r.Context()).Logout(r.Context()); err != nil {
			return err
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}))
	mux.Handle("GET /devices", web.Handle(s.devices))
	mux.Handle("POST /devices/{id}/end", web.Handle(s.endDevice))
	mux.Handle("POST /password", web.Handle(s.setPassword))
	return web.Sessions(s.app, nil)(mux)
}

func (s *Site) home(w http.ResponseWriter, r *http.Request) error {
	b, err := s.basket.Get(r.Context())
	if err != nil {
		return err
	}
	return homePage.Execute(w, map[string]any{
		"PageField": web.PageField(r), "User": stay.SessionFrom(r.Context()).User(), "Items": b.Items,
	})
}

var homePage = template.Must(template.New("home").Parse(`{{.User}}: {{.Items}}
<form method="post" action="/basket">
	{{.PageField}}
	<input name="item"> <button>Add</button>
</form>
`))

func (s *Site) login(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	user, err := s.accounts.Check(ctx, r.FormValue("name"), r.FormValue("password"))
	if err != nil {
		return err
	}
	lasts := stay.UntilBrowserCloses()
	if r.FormValue("remember") != "" {
		lasts = stay.For(30 * 24 * time.Hour)
	}
	if err := stay.SessionFrom(ctx).Login(ctx, user, lasts); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// confirm takes the password once more.
func (s *Site) confirm(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	here := stay.SessionFrom(ctx)
	user, err := s.accounts.Check(ctx, r.FormValue("name"), r.FormValue("password"))
	if err != nil {
		return err
	}
	if user != here.User() {
		return stay.ErrDenied
	}
	if err := here.Confirm(ctx); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// devices shows where the user is logged in.
func (s *Site) devices(w http.ResponseWriter, r *http.Request) error {
	here := stay.SessionFrom(r.Context())
	if here.User() == "" {
		return stay.ErrDenied
	}
	for session, err := range s.app.Sessions(r.Context(), here.User()) {
		if err != nil {
			return err
		}
		note := ""
		if session.ID() == here.ID() {
			note = " (this one)"
		}
		if _, err := fmt.Fprintf(w, "%s since %s%s: %s\n", session.ID(), session.LoggedIn().Format("2 January"), note, session.Device()); err != nil {
			return err
		}
	}
	return nil
}

// endDevice logs the user out on one device.
func (s *Site) endDevice(_ http.ResponseWriter, r *http.Request) error {
	ctx, id := r.Context(), r.PathValue("id")
	here := stay.SessionFrom(ctx)
	user := here.User()
	if user == "" {
		return stay.ErrDenied
	}
	if id == here.ID() {
		return here.Destroy(ctx) // clears this browser's cookie; the session in the list cannot do that
	}
	for session, err := range s.app.Sessions(ctx, user) { // only sessions of this user
		if err != nil {
			return err
		}
		if session.ID() == id {
			return session.Destroy(ctx)
		}
	}
	return stay.ErrNotFound
}

// setPassword logs the user out everywhere, here included.
func (s *Site) setPassword(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	here := stay.SessionFrom(ctx)
	user := here.User()
	if user == "" {
		return stay.ErrDenied
	}
	if s.now().Sub(here.Confirmed()) > 10*time.Minute {
		return &stay.Error{Code: stay.ErrDenied, Message: "enter your password once more first"}
	}
	if err := s.accounts.SetPassword(ctx, user, r.FormValue("password")); err != nil {
		return err
	}
	if err := s.app.Revoke(ctx, user); err != nil {
		return err
	}
	if err := here.Destroy(ctx); err != nil { // with the states of this browser
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}
