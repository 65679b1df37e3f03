package main

import (
	"embed"
	"errors"
	"io"
	"net/http"
	"slices"
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
	app   *stay.App
	rooms *stay.State[Room]
	here  *stay.State[Here]
	seen  *stay.State[Seen]
}

// newChat registers the modules with app.
func newChat(app *stay.App) *chat {
	return &chat{app: app, rooms: stay.Register(app, roomModule), here: stay.Register(app, hereModule), seen: stay.Register(app, seenModule)}
}

// newHandler returns the whole site. The buttons of the page are forms, so it
// works with and without JavaScript; with it, a stream brings what is new.
func newHandler(c *chat, options *web.Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /static/{file}", serve.Static())
	mux.Handle("GET /assets/{file}", http.FileServerFS(assets))
	mux.Handle("GET /{$}", http.RedirectHandler("/room/"+rooms[0], http.StatusSeeOther))
	mux.Handle("GET /room/{room}", web.Handle(c.room))
	mux.Handle("GET /room/{room}/live", c.live())
	mux.Handle("POST /room/{room}/say", web.Handle(c.say))
	mux.Handle("POST /room/{room}/read", web.Handle(c.read))
	mux.Handle("POST /room/{room}/sign-in", web.Handle(c.signIn))
	mux.Handle("POST /room/{room}/sign-out", web.Handle(c.signOut))
	return secure(web.Sessions(c.app, options)(mux))
}

// room shows the room, or to a guest the form to sign in.
func (c *chat) room(w http.ResponseWriter, r *http.Request) error {
	p, err := c.page(r)
	switch {
	case err != nil:
		return err
	case p.Seen.User == "":
		return render(w, "welcome", p)
	}
	return c.whole(w, p)
}

// whole answers with the whole page.
func (c *chat) whole(w http.ResponseWriter, p *page) (err error) {
	if p.All, err = c.all(p.Context()); err != nil {
		return err
	}
	if p.Here, err = c.others(p.Request, p.Seen.User); err != nil {
		return err
	}
	return render(w, "room", p)
}

// live returns the streams of a room. Links and buttons are in no part: a part that is
// replaced takes a click with it.
func (c *chat) live() http.Handler {
	parts := []web.LivePart{c.part("unread"), c.part("messages"), c.present()}
	for _, name := range rooms {
		parts = append(parts, c.count(name))
	}
	return web.Live(parts...)
}

// part is a live part of the page: the template and the element have its name. It
// follows the room and how far the user has read.
func (c *chat) part(name string) web.LivePart {
	return web.PartOf(c.app, name, func(w io.Writer, r *http.Request) error {
		p, err := c.page(r)
		switch {
		case err != nil:
			return err
		case p.Seen.User == "": // the session is over, and so is what it saw
			return pages.ExecuteTemplate(w, "outside-"+name, p)
		}
		return pages.ExecuteTemplate(w, name, p)
	})
}

// count is the live part with the number of unread messages of a room.
func (c *chat) count(name string) web.LivePart {
	return web.PartOf(c.app, "count-"+name, func(w io.Writer, r *http.Request) error {
		seen, err := web.Look(r.Context(), c.seen)
		if err != nil || seen.User == "" {
			return err
		}
		room, err := c.at(r.Context(), name)
		if err != nil {
			return err
		}
		return pages.ExecuteTemplate(w, "count", seen.Unread(room))
	})
}

// present is the live part that shows who has the room open.
func (c *chat) present() web.LivePart {
	return web.PartOf(c.app, "here", func(w io.Writer, r *http.Request) error {
		seen, err := web.Look(r.Context(), c.seen)
		if err != nil || seen.User == "" { // guests are not present
			return err
		}
		if _, err := web.Look(r.Context(), c.here.At(r.PathValue("room"))); err != nil {
			return err
		}
		here, err := c.others(r, seen.User)
		if err != nil {
			return err
		}
		return pages.ExecuteTemplate(w, "here", &page{Here: here})
	})
}

// user returns who is signed in.
func (c *chat) user(r *http.Request) (string, error) {
	if !slices.Contains(rooms, r.PathValue("room")) {
		return "", stay.ErrNotFound
	}
	seen, err := c.seen.Get(r.Context())
	if err == nil && seen.User == "" {
		err = stay.ErrDenied
	}
	if err != nil {
		return "", err
	}
	return seen.User, nil
}

// say adds a message to the room. The form has a name of its own, so a message that is
// sent again, because nobody knows whether it has arrived, is there once.
func (c *chat) say(w http.ResponseWriter, r *http.Request) error {
	form, err := web.ReadForm[Say](r)
	user, userErr := c.user(r)
	if userErr != nil {
		return userErr
	}
	name := r.PathValue("room")
	if err == nil {
		_, err = c.rooms.At(name).Update(r.Context(), func(room *Room) error { return room.say(name, user, form.Data, time.Now()) })
	}
	if errors.Is(err, stay.ErrReused) { // it was changed after it had been sent
		err = stay.Invalid("text", "This message has arrived as it was before you changed it.")
	}
	if err != nil {
		return form.Again(err, func(w http.ResponseWriter) error { // with status 422
			p, err := c.page(r)
			if err != nil {
				return err
			}
			p.Say = form
			if web.IsPartial(r) {
				return render(w, "say", p)
			}
			return c.whole(w, p)
		})
	}
	if !web.IsPartial(r) {
		return c.back(w, r)
	}
	p, err := c.page(r) // an empty form; the stream brings the message
	if err != nil {
		return err
	}
	return render(w, "say", p)
}

// back sends the browser to the room.
func (c *chat) back(w http.ResponseWriter, r *http.Request) error {
	http.Redirect(w, r, "/room/"+r.PathValue("room"), http.StatusSeeOther)
	return nil
}

// read notes that the user has read up to the message that the form names.
func (c *chat) read(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Number int64 `json:"number"`
	}
	if err := web.Bind(r, &in); err != nil {
		return err
	}
	if _, err := c.user(r); err != nil {
		return err
	}
	ctx, name := r.Context(), r.PathValue("room")
	room, err := c.at(ctx, name)
	if err != nil {
		return err
	}
	if _, err := c.seen.Update(ctx, func(s *Seen) error {
		s.read(name, min(in.Number, room.Last))
		return nil
	}); err != nil {
		return err
	}
	return web.Done(w, r, "/room/"+name)
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
	all, err := c.all(ctx)
	if err != nil {
		return err
	}
	if _, err := c.seen.Update(ctx, func(s *Seen) error { s.join(user, all); return nil }); err != nil {
		return err
	}
	return c.back(w, r)
}

func (c *chat) signOut(w http.ResponseWriter, r *http.Request) error {
	if err := stay.SessionFrom(r.Context()).Logout(r.Context()); err != nil {
		return err
	}
	return c.back(w, r)
}

// secure sends the policy with every answer.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		next.ServeHTTP(w, r)
	})
}
