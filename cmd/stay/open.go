package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/cloudflarestore"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/pgstore"
	"github.com/stay-go/stay/store/sqlitestore"
)

// storeHelp says how stores are named.
const storeHelp = "A STORE is sqlite:PATH, as in sqlite:app.db, postgres://USER@HOST/DATABASE, or cloudflare:URL with the URL of a Worker. " +
	"Passwords may stand in PGPASSWORD, in the passfile or in a service file instead of the URL; the secret of the Worker stands in STAY_SECRET. " +
	"If it is not named stay, or has not 64 objects, the URL says so, as in cloudflare:https://stay.example.workers.dev?name=shop&shards=8."

// errForm does not repeat what was given, because it may have a password.
var errForm = &usageError{errors.New("a store is sqlite:PATH, as in sqlite:app.db, postgres://USER@HOST/DATABASE or cloudflare:https://HOST")}

// openSource opens a store that has to be there.
func openSource(ctx context.Context, name string) (store.Store, error) {
	if path, ok := strings.CutPrefix(name, "sqlite:"); ok {
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
	}
	return open(ctx, name)
}

// openReader opens a store that has to be there, beside programs that use it if
// that is possible: a SQLite file that they share, or any server.
func openReader(ctx context.Context, name string) (store.Store, error) {
	path, ok := strings.CutPrefix(name, "sqlite:")
	if !ok || path == "" || strings.HasPrefix(path, "//") {
		return open(ctx, name)
	}
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	s, err := sqlitestore.Open(path, sqlitestore.Shared(), sqlitestore.OwnerWait(0))
	if errors.Is(err, store.ErrUnavailable) {
		return nil, fmt.Errorf("a program has the file for itself; stop it, or have it show its states with package inspect: %w", err)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// serverTime asks a server what time it is; ok is false if the store has none.
func serverTime(ctx context.Context, name string) (now time.Time, ok bool, err error) {
	if scheme, _, _ := strings.Cut(name, ":"); scheme != "postgres" && scheme != "postgresql" {
		return time.Time{}, false, nil
	}
	conn, err := pgx.Connect(ctx, name)
	if err != nil {
		return time.Time{}, false, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	err = conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now)
	return now, true, err
}

// openTarget opens a store, which is made if it is not there. For a dry run,
// memory stands for a file that does not exist.
func openTarget(ctx context.Context, name string, dryRun bool) (store.Store, error) {
	if path, ok := strings.CutPrefix(name, "sqlite:"); ok && dryRun {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return memstore.New(), nil
		}
	}
	return open(ctx, name)
}

// open opens a store. A SQLite file is opened by its sole owner, so that it
// fails while a program uses the file.
func open(ctx context.Context, name string) (store.Store, error) {
	scheme, path, _ := strings.Cut(name, ":")
	switch {
	case scheme == "sqlite" && path != "":
		if strings.HasPrefix(path, "//") {
			return nil, &usageError{fmt.Errorf("sqlite: takes a path and no URL: sqlite:app.db, or sqlite:/var/lib/app/app.db: %w", errForm)}
		}
		s, err := sqlitestore.Open(path)
		if err != nil {
			return nil, err
		}
		return s, nil
	case scheme == "postgres" || scheme == "postgresql":
		s, err := pgstore.Open(ctx, name)
		if err != nil {
			return nil, err
		}
		return s, nil
	case scheme == "cloudflare":
		return openCloudflare(ctx, path)
	}
	return nil, errForm
}

// openCloudflare opens the store of a Worker. Its objects must be a known number, or
// there is nothing to list.
func openCloudflare(ctx context.Context, name string) (store.Store, error) {
	u, err := url.Parse(name)
	if err != nil {
		return nil, errForm
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errForm
	}
	var options []cloudflarestore.Option
	for parameter, values := range query {
		switch parameter {
		case "name":
			options = append(options, cloudflarestore.Name(values[0]))
		case "shards":
			n, err := strconv.Atoi(values[0])
			if err != nil || n < 1 {
				return nil, &usageError{errors.New("the shards of the store are a number of objects, as in shards=64")}
			}
			options = append(options, cloudflarestore.Shards(n))
		default:
			return nil, &usageError{errors.New("the URL of a Worker takes the parameters name and shards")}
		}
	}
	u.RawQuery = ""
	secret := os.Getenv("STAY_SECRET")
	if secret == "" {
		return nil, &usageError{errors.New("the secret of the Worker is missing: put it into the environment as STAY_SECRET")}
	}
	s, err := cloudflarestore.Open(ctx, u.String(), secret, options...)
	if err != nil {
		return nil, err
	}
	return s, nil
}
