// Package presence holds the program of docs/presence.md.
package presence

import (
	"context"
	"fmt"
	"html"
	"io"
	"net/http"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// Room is a room that people meet in.
type Room struct {
	Name    string `json:"name" stay:"key"`
	Visited int    `json:"visited"`
}

// Visits counts how often somebody has come to any of the rooms.
type Visits struct {
	N int `json:"n"`
}

// NewHandler serves the rooms. It stands behind web.Sessions.
func NewHandler(app *stay.App) http.Handler {
	visits := stay.Register(app, stay.Module[Visits]{Name: "visits", Persist: stay.Global})
	rooms := stay.Register(app, stay.Module[Room]{
		Name:     "room",
		Persist:  stay.WithKey(func(r *Room) string { return r.Name }),
		Presence: true,
		OnConnect: func(c *stay.Call, _ *Room) {
			_, _ = visits.Update(c.Context(), func(v *Visits) error { v.N++; return nil })
		},
	})
	room := func(r *http.Request) (string, error) { return r.PathValue("room"), nil }
	here := web.PartAt("here", rooms, room, func(w io.Writer, r *Room) error { return list(w, rooms, r) })
	mux := http.NewServeMux()
	mux.Handle("GET /{room}/live", web.Live(here))
	mux.HandleFunc("POST /login", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		return stay.SessionFrom(r.Context()).Login(r.Context(), r.FormValue("user"))
	}))
	mux.HandleFunc("POST /{room}", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		name := r.PathValue("room")
		_, err := rooms.At(name).Update(r.Context(), func(s *Room) error {
			s.Name = name
			s.Visited++
			return nil
		})
		return err
	}))
	mux.HandleFunc("GET /visits", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		v, err := visits.Get(r.Context())
		if err == nil {
			_, err = fmt.Fprint(w, v.N)
		}
		return err
	}))
	return mux
}

// list shows who is in a room.
func list(w io.Writer, rooms *stay.State[Room], room *Room) error {
	if room.Name == "" {
		return nil // it is not there yet
	}
	all, err := rooms.At(room.Name).Present(context.Background())
	if err != nil {
		return err
	}
	guests := 0
	for _, p := range all {
		if p.User == "" {
			guests += p.Pages
			continue
		}
		if _, err := fmt.Fprintf(w, "<li>%s", html.EscapeString(p.User)); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(w, "<li>and %d guests", guests)
	return err
}
