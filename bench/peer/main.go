// Command peer is what the counter of package stay is measured against: the
// same pages from a bare handler, from a map with a mutex, and from the
// session library scs on memory, SQLite, PostgreSQL and Redis, each as its users set it up.
package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"

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

func main() {
	flags := counter.NewFlags(flag.CommandLine)
	kind := flag.String("kind", "bare", "bare, mapmutex, scs-mem, scs-sqlite, scs-postgres or scs-redis")
	dir := flag.String("dir", "", "folder for the database of scs-sqlite, which is made")
	url := flag.String("url", "", "`URL` of the database of scs-postgres or scs-redis")
	flag.Parse()
	app, err := open(*kind, *dir, *url, flags)
	if err == nil {
		err = counter.Serve(flags, app)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func open(kind, dir, url string, flags *counter.Flags) (counter.App, error) {
	switch kind {
	case "bare":
		return bare(), nil
	case "mapmutex":
		return mapMutex(flags), nil
	case "scs-mem":
		return scsOn(memstore.New(), flags), nil
	case "scs-sqlite":
		return scsOnSQLite(dir, flags)
	case "scs-postgres":
		return scsOnPostgres(url, flags)
	case "scs-redis":
		return scsOnRedis(url, flags)
	}
	return counter.App{}, fmt.Errorf("-kind is %q: want bare, mapmutex, scs-mem, scs-sqlite, scs-postgres or scs-redis", kind)
}

// page answers with a number that depends on nothing.
func page(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { write(w, n) }
}

// write answers with the counter. Its error means that the client has gone.
func write(w http.ResponseWriter, n int) { _ = counter.Write(w, n) }

// bare does all that HTTP costs and keeps nothing: what the others are
// compared with.
func bare() counter.App {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /increment", page(1))
	mux.HandleFunc("GET /count", page(1))
	mux.HandleFunc("GET /plain", page(0))
	mux.HandleFunc("POST /logout", page(0))
	return counter.App{Handler: mux}
}

// mapMutex keeps the counters in memory for ever.
func mapMutex(flags *counter.Flags) counter.App {
	var mu sync.Mutex
	counts := map[string]int{}
	id := func(r *http.Request) string {
		cookie, err := r.Cookie("sid")
		if err != nil {
			return ""
		}
		return cookie.Value
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /increment", func(w http.ResponseWriter, r *http.Request) {
		sid := id(r)
		flags.Think(r.Context())
		mu.Lock()
		n, known := counts[sid]
		if !known {
			sid = rand.Text()
		}
		n++
		counts[sid] = n
		mu.Unlock()
		if !known {
			http.SetCookie(w, &http.Cookie{Name: "sid", Value: sid, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
		}
		write(w, n)
	})
	mux.HandleFunc("GET /count", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		n := counts[id(r)]
		mu.Unlock()
		write(w, n)
	})
	mux.HandleFunc("GET /plain", page(0))
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		delete(counts, id(r))
		mu.Unlock()
		write(w, 0)
	})
	return counter.App{Handler: mux, Keys: func(context.Context) ([]string, error) {
		mu.Lock()
		defer mu.Unlock()
		keys := make([]string, 0, len(counts))
		for sid := range counts {
			keys = append(keys, sid)
		}
		return keys, nil
	}}
}

// scsOn is scs as its documentation shows it.
func scsOn(st scs.Store, flags *counter.Flags) counter.App {
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
	if dir == "" {
		return counter.App{}, errors.New("scs-sqlite needs -dir")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return counter.App{}, err
	}
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
	app := scsOn(st, flags)
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
	app := scsOn(st, flags)
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
	app := scsOn(goredisstore.New(client), flags)
	app.Close = func(context.Context) error { return client.Close() }
	return app, nil
}
