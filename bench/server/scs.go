package main

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/pgxstore"
	"github.com/alexedwards/scs/sqlite3store"
	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	_ "modernc.org/sqlite" // the driver for database/sql

	"github.com/stay-go/stay/bench/internal/counter"
)

// scsOn is the session library scs on the store that the flag names, each as its users
// set it up.
func scsOn(where string, flags *counter.Flags) (counter.App, error) {
	dir, ok, err := folder(where, "sqlite:")
	switch {
	case err != nil:
		return counter.App{}, err
	case ok:
		return scsOnSQLite(dir, flags)
	case where == "mem":
		return scsHandler(memstore.New(), flags), nil
	case strings.HasPrefix(where, "postgres://"):
		return scsOnPostgres(where, flags)
	case strings.HasPrefix(where, "redis://"):
		return scsOnRedis(where, flags)
	}
	return counter.App{}, unknown(where, "mem, sqlite:DIR or the URL of a PostgreSQL or Redis database")
}

// scsHandler is scs as its documentation shows it.
func scsHandler(st scs.Store, flags *counter.Flags) counter.App {
	sessions := scs.New()
	sessions.Store = st
	mux := http.NewServeMux()
	mux.HandleFunc("POST /increment", func(w http.ResponseWriter, r *http.Request) {
		n := sessions.GetInt(r.Context(), "count") + 1
		flags.Think(r.Context())
		sessions.Put(r.Context(), "count", n)
		write(w, n)
	})
	mux.HandleFunc("GET /count", func(w http.ResponseWriter, r *http.Request) {
		write(w, sessions.GetInt(r.Context(), "count"))
	})
	mux.HandleFunc("GET /plain", page(0))
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		if err := sessions.Destroy(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		write(w, 0)
	})
	app := counter.App{Handler: sessions.LoadAndSave(mux)}
	if all, ok := st.(scs.IterableStore); ok {
		app.Keys = func(context.Context) ([]string, error) {
			records, err := all.All()
			keys := make([]string, 0, len(records))
			for token := range records {
				keys = append(keys, token)
			}
			return keys, err
		}
	}
	return app
}

// scsOnSQLite has the same driver, log and durability as sqlitestore.
func scsOnSQLite(dir string, flags *counter.Flags) (counter.App, error) {
	const pragmas = "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)"
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "scs.db")+pragmas)
	if err != nil {
		return counter.App{}, err
	}
	for _, statement := range []string{
		`CREATE TABLE IF NOT EXISTS sessions (token TEXT PRIMARY KEY, data BLOB NOT NULL, expiry REAL NOT NULL)`,
		`CREATE INDEX IF NOT EXISTS sessions_expiry ON sessions (expiry)`,
	} {
		if _, err := db.ExecContext(context.Background(), statement); err != nil {
			return counter.App{}, errors.Join(err, db.Close())
		}
	}
	st := sqlite3store.New(db)
	app := scsHandler(st, flags)
	app.Dir = dir
	app.Close = func(context.Context) error {
		st.StopCleanup()
		return db.Close()
	}
	return app, nil
}

// scsOnPostgres has a pool of the size that was fastest for it with 64
// connections.
func scsOnPostgres(url string, flags *counter.Flags) (counter.App, error) {
	ctx := context.Background()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return counter.App{}, err
	}
	config.MaxConns = 16
	db, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return counter.App{}, err
	}
	for _, statement := range []string{
		`CREATE TABLE IF NOT EXISTS sessions (token TEXT PRIMARY KEY, data BYTEA NOT NULL, expiry TIMESTAMPTZ NOT NULL)`,
		`CREATE INDEX IF NOT EXISTS sessions_expiry_idx ON sessions (expiry)`,
	} {
		if _, err := db.Exec(ctx, statement); err != nil {
			db.Close()
			return counter.App{}, err
		}
	}
	st := pgxstore.New(db)
	app := scsHandler(st, flags)
	app.Close = func(context.Context) error {
		st.StopCleanup()
		db.Close()
		return nil
	}
	return app, nil
}

// scsOnRedis has as many connections as the other databases have.
func scsOnRedis(url string, flags *counter.Flags) (counter.App, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return counter.App{}, err
	}
	o.PoolSize = 16
	client := redis.NewClient(o)
	app := scsHandler(goredisstore.New(client), flags)
	app.Close = func(context.Context) error { return client.Close() }
	return app, nil
}
