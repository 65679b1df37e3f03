package cloudflarestore_test

import (
	"context"
	"log"
	"os"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/cloudflarestore"
)

// The program gets the secret from the environment, where no log shows it. All of
// its records are in one object, so that groups of any writes are atomic.
func Example() {
	ctx := context.Background()
	s, err := cloudflarestore.Open(ctx, os.Getenv("STAY_URL"), os.Getenv("STAY_SECRET"), cloudflarestore.Shards(1))
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
