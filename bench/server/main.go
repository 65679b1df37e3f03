// Command server is the counter that the benchmarks measure: one module of
// state for each session, behind package web and net/http.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
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

func main() {
	flags := counter.NewFlags(flag.CommandLine)
	where := flag.String("store", "mem", "mem, sqlite:DIR for a database in a folder, which is made, or the URL of a PostgreSQL or Redis database")
	flag.Parse()
	if err := run(flags, *where); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

func run(flags *counter.Flags, where string) error {
	st, dir, err := open(where)
	if err != nil {
		return err
	}
	app := stay.New(st, &stay.Options{MaxNewSessions: 1_000_000}) // all of a run begin at once
	return counter.Serve(flags, counter.App{
		Handler: handler(app, flags),
		Keys:    func(ctx context.Context) ([]string, error) { return keys(ctx, st) },
		Dir:     dir,
		Close:   app.Close,
	})
}

// open opens the store that the flag names, and returns the folder it is in.
func open(where string) (store.Store, string, error) {
	dir, isSQLite := strings.CutPrefix(where, "sqlite:")
	switch {
	case where == "mem":
		return memstore.New(), "", nil
	case strings.HasPrefix(where, "postgres://"):
		st, err := pgstore.Open(context.Background(), where)
		return st, "", err
	case strings.HasPrefix(where, "redis://"):
		st, err := redisstore.Open(context.Background(), where)
		return st, "", err
	case !isSQLite || dir == "":
		return nil, "", fmt.Errorf("-store is %q: want mem, sqlite:DIR or the URL of a PostgreSQL or Redis database", where)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", err
	}
	st, err := sqlitestore.Open(filepath.Join(dir, "stay.db"))
	return st, dir, err
}

func handler(app *stay.App, flags *counter.Flags) http.Handler {
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
		return nil, fmt.Errorf("the store cannot list its keys")
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
