package pgstore_test

import (
	"context"
	"log"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/pgstore"
)

// The program gets its database from the environment, where no log shows it.
func Example() {
	ctx := context.Background()
	s, err := pgstore.Open(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	app := stay.New(s, nil)
	defer app.Close(ctx)
}

// A program that uses PostgreSQL for other things too shares its pool.
func ExampleNew() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	s, err := pgstore.New(ctx, pool)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	app := stay.New(s, nil)
	defer app.Close(ctx)
}
