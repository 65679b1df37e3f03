package main

import (
	"embed"
	"io"
	"net/http"
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
// works with and without JavaScript; with it, a stream brings what is new.
func newHandler(c *chat, options *web.Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /static/{file}", serve.Static())
	mux.Handle("GET /assets/{file}", http.FileServerFS(assets))
	mux.Handle("GET /{$}", web.Handle(c.home))
	mux.Handle("GET /live", c.live())
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

// live returns the streams of the room: what everybody sees of it, which is made
// once for all, and how far the user has read. The page puts the two together, see
// chat.js. The second one belongs to the session, so a stream ends when that is
// over, and what comes back as a guest gets the other stream.
func (c *chat) live() http.Handler {
	seen := web.Part("seen", c.seen, func(w io.Writer, s *Seen) error { return pages.ExecuteTemplate(w, "seen", s) })
	room := web.Live(seen, web.Part("messages", c.room, func(w io.Writer, room *Room) error {
		return pages.ExecuteTemplate(w, "messages", &page{Room: room, Seen: &Seen{Last: room.Last}})
	}))
	outside := web.Live(seen, web.Part("messages", c.seen, func(w io.Writer, _ *Seen) error {
		return pages.ExecuteTemplate(w, "outside", nil)
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch user, err := c.user(r); {
		case err != nil:
			web.Error(w, r, err)
		case user == "":
			outside(w, r)
		default:
			room(w, r)
		}
	})
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
			return render(w, say(r, "room"), p)
		})
	}
	if !web.IsPartial(r) {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}
	p, err := c.page(r) // an empty form; the stream brings the message
	if err != nil {
		return err
	}
	return render(w, "say", p)
}

// say is the template for an answer to the form: the form alone if htmx asks.
func say(r *http.Request, whole string) string {
	if web.IsPartial(r) {
		return "say"
	}
	return whole
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
	return web.Done(w, r, "/")
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

// secure sends the policy with every answer.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		next.ServeHTTP(w, r)
	})
}
