package main

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/bench/internal/counter"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/pgstore"
	"github.com/stay-go/stay/store/redisstore"
	"github.com/stay-go/stay/store/sqlitestore"
	"github.com/stay-go/stay/web"
)

type state struct {
	Count int `json:"count"`
}

// stayOn is Stay with one module of state for each session, behind package web.
func stayOn(where string, flags *counter.Flags) (counter.App, error) {
	st, dir, err := stayStore(where)
	if err != nil {
		return counter.App{}, err
	}
	app := stay.New(st, &stay.Options{MaxNewSessions: 1_000_000}) // all of a run begin at once
	return counter.App{
		Handler: stayHandler(app, flags),
		Keys:    func(ctx context.Context) ([]string, error) { return keys(ctx, st) },
		Dir:     dir,
		Close:   app.Close,
	}, nil
}

// stayStore opens the store that the flag names, and returns the folder it is in.
func stayStore(where string) (st store.Store, dir string, err error) {
	dir, ok, err := folder(where, "sqlite:")
	switch {
	case err != nil:
		return nil, "", err
	case ok:
		st, err = sqlitestore.Open(filepath.Join(dir, "stay.db"))
		return st, dir, err
	case where == "mem":
		return memstore.New(), "", nil
	case strings.HasPrefix(where, "postgres://"):
		st, err = pgstore.Open(context.Background(), where)
		return st, "", err
	case strings.HasPrefix(where, "redis://"):
		st, err = redisstore.Open(context.Background(), where)
		return st, "", err
	}
	return nil, "", unknown(where, "mem, sqlite:DIR or the URL of a PostgreSQL or Redis database")
}

func stayHandler(app *stay.App, flags *counter.Flags) http.Handler {
	count := stay.Register(app, stay.Module[state]{Name: "counter", Persist: stay.PerSession})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /increment", web.Update(count, func(w http.ResponseWriter, r *http.Request, s *state) error {
		next := s.Count + 1
		flags.Think(r.Context())
		s.Count = next
		return counter.Write(w, s.Count)
	}))
	mux.HandleFunc("GET /count", web.View(count, func(w http.ResponseWriter, _ *http.Request, s *state) error {
		return counter.Write(w, s.Count)
	}))
	mux.HandleFunc("GET /plain", web.Handle(func(w http.ResponseWriter, _ *http.Request) error {
		return counter.Write(w, 0)
	}))
	mux.HandleFunc("POST /logout", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		if err := stay.SessionFrom(r.Context()).Destroy(r.Context()); err != nil {
			return err
		}
		return counter.Write(w, 0)
	}))
	return web.Sessions(app, nil)(mux)
}

// keys lists every record of the store, of whatever kind.
func keys(ctx context.Context, st store.Store) ([]string, error) {
	lister, ok := st.(store.Lister)
	if !ok {
		return nil, errors.New("the store cannot list its keys")
	}
	const page = 1024
	var all []string
	for after := ""; ; after = all[len(all)-1] {
		some, err := lister.List(ctx, time.Now(), "", after, page)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
		if len(some) < page {
			return all, nil
		}
	}
}
