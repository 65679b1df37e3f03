package redisstore_test

import (
	"context"
	"log"
	"os"

	"github.com/redis/rueidis"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/redisstore"
)

// The program gets the URL of its server from the environment, where no log shows
// it.
func Example() {
	ctx := context.Background()
	s, err := redisstore.Open(ctx, os.Getenv("REDIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	if !s.Features().Durable {
		log.Print("the server may lose what it has acknowledged: set appendonly yes and appendfsync always")
	}
	app := stay.New(s, nil)
	defer app.Close(ctx)
}

// A program that uses Redis for other things too shares its client. Only a client
// of the program's own can have an authority for TLS that the system does not know.
func ExampleNew() {
	ctx := context.Background()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{os.Getenv("REDIS_ADDRESS")}, DisableCache: true})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	s, err := redisstore.New(ctx, client)
	if err != nil {
		log.Fatal(err)
	}
	app := stay.New(s, nil)
	defer app.Close(ctx)
}
