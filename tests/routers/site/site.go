// Package site has the handlers that each router of the tests serves. They are
// handlers of net/http and do not know the router.
package site

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/coder/websocket"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// Counter is the state of a browser, or of the user who is logged in there.
type Counter struct {
	Count int    `json:"count"`
	Note  string `json:"note"`
}

// A Site is an App with its state.
type Site struct {
	App     *stay.App
	Counter *stay.State[Counter]
	// Docs are counters that are known by a name.
	Docs *stay.State[Doc]
	// Next makes a stream send its next event, or end.
	Next chan bool
	// Done ends all streams when it is closed.
	Done chan struct{}
}

// A Doc is a counter with a name.
type Doc struct {
	Name  string `json:"name" stay:"key"`
	Count int    `json:"count"`
}

// New registers the states of a site.
func New(app *stay.App) *Site {
	return &Site{
		App: app,
		Counter: stay.Register(app, stay.Module[Counter]{
			Name: "counter", Persist: stay.PerUser,
			Actions: stay.Actions[Counter]{"increment": func(_ *stay.Call, c *Counter) error {
				c.Count++
				return nil
			}},
		}),
		Docs: stay.Register(app, stay.Module[Doc]{Name: "doc", Persist: stay.WithKey(func(d *Doc) string { return d.Name })}),
		Next: make(chan bool),
		Done: make(chan struct{}),
	}
}

// Count reads the count, for handlers that are written for the router.
func (s *Site) Count(ctx context.Context) (int, error) {
	c, err := s.Counter.Get(ctx)
	if err != nil {
		return 0, err
	}
	return c.Count, nil
}

// AddText adds the number in text.
func (s *Site) AddText(ctx context.Context, text string) (int, error) {
	c, err := s.Counter.Update(ctx, func(c *Counter) error { return c.add(text) })
	if err != nil {
		return 0, err
	}
	return c.Count, nil
}

func (c *Counter) add(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil {
		return stay.Invalid("n", "is no number")
	}
	c.Count += n
	return nil
}

// CountDoc adds one to the count of a doc.
func (s *Site) CountDoc(ctx context.Context, name string) (int, error) {
	d, err := s.Docs.At(name).Update(ctx, func(d *Doc) error {
		d.Name = name
		d.Count++
		return nil
	})
	if err != nil {
		return 0, err
	}
	return d.Count, nil
}

// Login logs in without a password.
func (s *Site) Login(ctx context.Context, user string) error {
	return stay.SessionFrom(ctx).Login(ctx, user)
}

// Plain uses no session.
func Plain(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "plain") }

// View shows the count and the note.
func (s *Site) View() http.Handler { return web.View(s.Counter, show) }

// Add adds the path value n in one transaction.
func (s *Site) Add() http.Handler {
	return web.Update(s.Counter, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		if err := c.add(r.PathValue("n")); err != nil {
			return err
		}
		return show(w, r, c)
	})
}

// Note keeps the path value text.
func (s *Site) Note() http.Handler {
	return web.Update(s.Counter, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		c.Note = r.PathValue("text")
		return show(w, r, c)
	})
}

// Panic panics in the middle of a transaction.
func (s *Site) Panic() http.Handler {
	return web.Update(s.Counter, func(_ http.ResponseWriter, _ *http.Request, c *Counter) error {
		c.Count = 1000
		panic("the password is hunter2")
	})
}

// Actions serves the actions of the counter as JSON, below /state/.
func (s *Site) Actions() http.Handler { return web.Actions(s.Counter) }

func show(w http.ResponseWriter, _ *http.Request, c *Counter) error {
	_, err := fmt.Fprint(w, c.Count, " ", c.Note)
	return err
}

// Stream sends the count as events until Next ends it.
func (s *Site) Stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for n, err := s.Count(r.Context()); ; n, err = s.Count(r.Context()) {
		if err != nil {
			web.Error(w, r, err) // if it is too late for an answer, the error is only logged
			return
		}
		if _, err := fmt.Fprintf(w, "data: %d\n\n", n); err != nil || http.NewResponseController(w).Flush() != nil || !s.Wait(r.Context()) {
			return
		}
	}
}

// Wait returns when the next event is to be sent, false if there is none.
func (s *Site) Wait(ctx context.Context) bool {
	select {
	case more := <-s.Next:
		return more
	case <-s.Done:
		return false
	case <-ctx.Done():
		return false
	}
}

// Socket adds one for every message and answers with the count.
func (s *Site) Socket(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // Accept has answered
	}
	defer func() { _ = conn.CloseNow() }()
	for {
		if _, _, err := conn.Read(r.Context()); err != nil {
			return
		}
		c, err := s.Counter.Do(r.Context(), "increment", nil)
		if err != nil {
			_ = conn.Close(websocket.StatusInternalError, string(stay.CodeOf(err)))
			return
		}
		if conn.Write(r.Context(), websocket.MessageText, []byte(strconv.Itoa(c.Count))) != nil {
			return
		}
	}
}
