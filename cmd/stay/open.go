package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/rueidis"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/natsstore"
	"github.com/stay-go/stay/store/pgstore"
	"github.com/stay-go/stay/store/redisstore"
	"github.com/stay-go/stay/store/sqlitestore"
)

// storeHelp says how stores are named.
const storeHelp = "A STORE is sqlite:PATH, as in sqlite:app.db, postgres://USER@HOST/DATABASE, redis://USER@HOST, nats://USER@HOST, or cloudflare:https://HOST. " +
	"Passwords may stand in PGPASSWORD, in the passfile, in a service file or in REDISCLI_AUTH instead of the URL; " +
	"the secret of a Worker stands in STAY_SECRET. A store that is not named stay, or has not 64 objects, is " +
	"cloudflare:https://HOST?name=shop&shards=8."

// errForm does not repeat what was given, because it may have a password.
var errForm = &usageError{errors.New("a store is sqlite:PATH, as in sqlite:app.db, postgres://USER@HOST/DATABASE, redis://USER@HOST, nats://USER@HOST, or cloudflare:https://HOST")}

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
	scheme, _, _ := strings.Cut(name, ":")
	if scheme == "postgres" || scheme == "postgresql" {
		if err := hasTables(ctx, name); err != nil {
			return nil, err
		}
	}
	path, ok := strings.CutPrefix(name, "sqlite:")
	if !ok || path == "" || strings.HasPrefix(path, "//") {
		return open(ctx, name)
	}
	switch info, err := os.Stat(path); {
	case err != nil:
		return nil, err
	case info.Size() == 0:
		return nil, fmt.Errorf("%s is empty", path)
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

// connect connects to PostgreSQL with a URL of pgstore, which may have settings of
// a pool.
func connect(ctx context.Context, name string) (*pgx.Conn, error) {
	config, err := pgxpool.ParseConfig(name)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, config.ConnConfig)
}

// hasTables fails if nobody has opened the database with pgstore, which would make
// its tables.
func hasTables(ctx context.Context, name string) error {
	conn, err := connect(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	var there bool
	if err := conn.QueryRow(ctx, "SELECT to_regclass('stay_records') IS NOT NULL").Scan(&there); err != nil {
		return err
	}
	if !there {
		return errors.New("the database has no table stay_records: no program with Stay has used it")
	}
	return nil
}

// serverTime asks a server what time it is; ok is false if the store has none.
func serverTime(ctx context.Context, name string) (now time.Time, ok bool, err error) {
	switch scheme, _, _ := strings.Cut(name, ":"); scheme {
	case "postgres", "postgresql":
		conn, err := connect(ctx, name)
		if err != nil {
			return time.Time{}, false, err
		}
		defer func() { _ = conn.Close(ctx) }()
		err = conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now)
		return now, true, err
	case "redis", "rediss":
		now, err = redisTime(ctx, withPassword(name))
		return now, true, err
	}
	return time.Time{}, false, nil
}

func redisTime(ctx context.Context, name string) (time.Time, error) {
	options, err := rueidis.ParseURL(name)
	if err != nil {
		return time.Time{}, errForm // its text has the URL
	}
	options.DisableCache = true
	client, err := rueidis.NewClient(options)
	if err != nil {
		return time.Time{}, err
	}
	defer client.Close()
	parts, err := client.Do(ctx, client.B().Time().Build()).AsIntSlice()
	if err != nil {
		return time.Time{}, err
	}
	if len(parts) != 2 {
		return time.Time{}, errors.New("the server answers TIME in another way")
	}
	return time.Unix(parts[0], parts[1]*1000), nil
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
	case scheme == "redis" || scheme == "rediss":
		s, err := redisstore.Open(ctx, withPassword(name))
		if err != nil {
			return nil, err
		}
		return s, nil
	case scheme == "nats" || scheme == "tls":
		s, err := natsstore.Open(ctx, name)
		if err != nil {
			return nil, err
		}
		return s, nil
	case scheme == "cloudflare":
		return openCloudflare(ctx, path)
	}
	return nil, errForm
}

// withPassword adds the password of REDISCLI_AUTH to a URL that has none, as
// redis-cli does.
func withPassword(name string) string {
	u, err := url.Parse(name)
	password := os.Getenv("REDISCLI_AUTH")
	if err != nil || password == "" {
		return name
	}
	if _, has := u.User.Password(); !has {
		u.User = url.UserPassword(u.User.Username(), password)
	}
	return u.String()
}
