package cloudflarestore_test

import (
	"context"
	"log"
	"os"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/cloudflarestore"
	"github.com/stay-go/stay/store/sharded"
)

// The program gets the secret from the environment, where no log shows it. Each
// session, user and key has an object of its own, and package sharded makes a login
// atomic, which is about several of them.
func Example() {
	ctx := context.Background()
	objects, err := cloudflarestore.Open(ctx, os.Getenv("STAY_URL"), os.Getenv("STAY_SECRET"), cloudflarestore.ObjectPerHome())
	if err != nil {
		log.Fatal(err)
	}
	s, err := sharded.New(objects)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	app := stay.New(s, nil)
	defer app.Close(ctx)
}

// A deployment writes the Worker to a file, for wrangler.
func ExampleWorker() {
	if err := os.WriteFile("worker.js", []byte(cloudflarestore.Worker()), 0o600); err != nil {
		log.Fatal(err)
	}
}
