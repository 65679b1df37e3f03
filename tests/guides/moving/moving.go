// Package moving holds the program of docs/moving-stores.md.
package moving

import (
	"context"
	"errors"
	"log"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/pgstore"
	"github.com/stay-go/stay/store/sqlitestore"
)

// Move copies the records of a SQLite file into a PostgreSQL database.
func Move(ctx context.Context, path, url string) (err error) {
	from, err := sqlitestore.Open(path)
	if err != nil {
		return err // also if the old program still runs
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := pgstore.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	count, err := store.Copy(ctx, from, to, store.CopyOptions{})
	log.Printf("%d of %d records copied", count.Copied, count.Missing)
	return err
}
