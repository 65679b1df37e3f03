package main

import (
	"embed"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/examples/internal/serve"
	"github.com/stay-go/stay/web"
)

//go:embed assets
var assets embed.FS

// policy lets the page use what this server serves, and nothing else: a page
// may not contain scripts or styles.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// A chat is the site: the states that its handlers use.
type chat struct {
	app  *stay.App
	room *stay.State[Room]
	seen *stay.State[Seen]
}

// newChat registers the modules with app.
func newChat(app *stay.App) *chat {
	return &chat{app: app, room: stay.Register(app, roomModule), seen: stay.Register(app, seenModule)}
}

// newHandler returns the whole site. The buttons of the page are forms, so it
// works with and without JavaScript; with it, htmx replaces the parts that
// change and asks for what is new.
func newHandler(c *chat, options *web.Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /static/{file}", serve.Static())
	mux.Handle("GET /assets/{file}", http.FileServerFS(assets))
	mux.Handle("GET /{$}", web.Handle(c.home))
	mux.Handle("GET /live", web.Handle(c.live))
	mux.Handle("POST /say", web.Handle(c.say))
	mux.Handle("POST /read", web.Handle(c.read))
	mux.Handle("POST /sign-in", web.Handle(c.signIn))
	mux.Handle("POST /sign-out", web.Handle(c.signOut))
	return secure(web.Sessions(c.app, options)(mux))
}

// user returns who is signed in, "" for a guest. To Session.User everybody is a
// guest while the store does not answer; a state that everybody has says so.
func (c *chat) user(r *http.Request) (string, error) {
	s := stay.SessionFrom(r.Context())
	if user := s.User(); user != "" {
		return user, nil
	}
	if _, err := c.room.Get(r.Context()); err != nil {
		return "", err
	}
	return s.User(), nil
}

// home shows the room, or to a guest the form to sign in.
func (c *chat) home(w http.ResponseWriter, r *http.Request) error {
	switch user, err := c.user(r); {
	case err != nil:
		return err
	case user == "":
		return render(w, "welcome", &page{Request: r})
	}
	p, err := c.page(r)
	if err != nil {
		return err
	}
	return render(w, "room", p)
}

// live answers the question of a page whether there is something new: with the
// messages, or with nothing.
func (c *chat) live(w http.ResponseWriter, r *http.Request) error {
	user, err := c.user(r)
	if err != nil {
		return err
	}
	if user != r.FormValue("user") {
		w.Header().Set("HX-Refresh", "true") // signed out, or in as somebody else
		return nil
	}
	p, err := c.page(r)
	if err != nil {
		return err
	}
	if r.FormValue("at") == p.At() {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return render(w, "live", p)
}

// say adds a message to the room.
func (c *chat) say(w http.ResponseWriter, r *http.Request) error {
	form, err := web.ReadForm[Say](r)
	user, userErr := c.user(r)
	switch {
	case userErr != nil:
		return userErr
	case user == "":
		return stay.ErrDenied
	}
	if err == nil {
		_, err = c.room.Update(r.Context(), func(room *Room) error { return room.say(user, form.Data, time.Now()) })
	}
	if err != nil {
		return form.Again(err, func(w http.ResponseWriter) error { // with status 422
			p, err := c.page(r)
			if err != nil {
				return err
			}
			p.Say = form
			return render(w, p.part("room", "talk"), p)
		})
	}
	return c.show(w, r, "talk")
}

// read notes that the user has read up to the message that the form names.
func (c *chat) read(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Number int64 `json:"number"`
	}
	if err := web.Bind(r, &in); err != nil {
		return err
	}
	ctx := r.Context()
	switch user, err := c.user(r); {
	case err != nil:
		return err
	case user == "":
		return stay.ErrDenied
	}
	room, err := c.room.Get(ctx)
	if err != nil {
		return err
	}
	if _, err := c.seen.Update(ctx, func(s *Seen) error {
		s.read(min(in.Number, room.Last))
		return nil
	}); err != nil {
		return err
	}
	return c.show(w, r, "live")
}

// show answers a change: htmx with the part of the page that it replaces, and a
// browser with the whole page.
func (c *chat) show(w http.ResponseWriter, r *http.Request, part string) error {
	if !web.IsPartial(r) {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}
	p, err := c.page(r)
	if err != nil {
		return err
	}
	return render(w, part, p)
}

// signIn signs the browser in as the user that the form names.
func (c *chat) signIn(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		User string `json:"user"`
	}
	if err := web.Bind(r, &in); err != nil {
		return err
	}
	user := strings.ToLower(strings.TrimSpace(in.User))
	if user == "" || utf8.RuneCountInString(user) > 20 {
		return stay.Invalid("user", "write a name of 1 to 20 characters")
	}
	// Here a real program checks the password, limits the number of attempts,
	// and returns stay.ErrDenied if it is wrong.
	ctx := r.Context()
	if err := stay.SessionFrom(ctx).Login(ctx, user); err != nil {
		return err
	}
	room, err := c.room.Get(ctx)
	if err != nil {
		return err
	}
	if _, err := c.seen.Update(ctx, func(s *Seen) error {
		if !s.Joined {
			s.Joined = true
			s.read(room.Last)
		}
		return nil
	}); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

func (c *chat) signOut(w http.ResponseWriter, r *http.Request) error {
	if err := stay.SessionFrom(r.Context()).Logout(r.Context()); err != nil {
		return err
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

// At says what a page shows, so that the next question can name it.
func (p *page) At() string {
	return url.Values{"room": {itoa(p.Room.Last)}, "seen": {itoa(p.Seen.Last)}}.Encode()
}

// secure sends the policy with every answer.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		next.ServeHTTP(w, r)
	})
}
