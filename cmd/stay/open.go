package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/pgstore"
	"github.com/stay-go/stay/store/redisstore"
	"github.com/stay-go/stay/store/sqlitestore"
)

// errForm does not repeat what was given, because it may have a password.
var errForm = &usageError{errors.New("a store is sqlite:PATH, as in sqlite:app.db, postgres://USER@HOST/DATABASE, or redis://USER@HOST")}

// openSource opens a store that has to be there.
func openSource(ctx context.Context, name string) (store.Store, error) {
	if path, ok := strings.CutPrefix(name, "sqlite:"); ok {
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
	}
	return open(ctx, name)
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
