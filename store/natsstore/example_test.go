package natsstore_test

import (
	"context"
	"log"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/natsstore"
)

// The program gets the URLs of its servers from the environment, where no log shows
// them. States are a little smaller than they may be elsewhere.
func Example() {
	ctx := context.Background()
	s, err := natsstore.Open(ctx, os.Getenv("NATS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	if !s.Features().Durable {
		log.Print("the stream has one replica: what is acknowledged may not be on the disk yet")
	}
	app := stay.New(s, &stay.Options{MaxState: s.Features().MaxValue})
	defer app.Close(ctx)
}

// A program that uses NATS for other things too shares its connection, which has the
// credentials.
func ExampleNew() {
	ctx := context.Background()
	nc, err := nats.Connect(os.Getenv("NATS_URL"), nats.UserCredentials("app.creds"), nats.MaxReconnects(-1))
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		log.Fatal(err)
	}
	s, err := natsstore.New(ctx, js)
	if err != nil {
		log.Fatal(err)
	}
	app := stay.New(s, &stay.Options{MaxState: s.Features().MaxValue})
	defer app.Close(ctx)
}
