// Command nodeserver is one node of the site of tests/internal/nodesite, on
// PostgreSQL, on Redis, on NATS or on an SQLite file that it shares with others. The first line that it writes is the address it listens
// on. SIGTERM has it end as a node does that is replaced; the end of its
// standard input ends it at once, so that it does not outlive the test.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/stay-go/stay/store/natsstore"
	"github.com/stay-go/stay/store/pgstore"
	"github.com/stay-go/stay/store/redisstore"
	"github.com/stay-go/stay/store/sqlitestore"
	"github.com/stay-go/stay/tests/internal/nodesite"
)

func main() {
	log.SetFlags(log.Lmicroseconds)
	attempt := flag.Duration("attempt", 2*time.Second, "how long one sending of a commit may take")
	commit := flag.Duration("commit", 10*time.Second, "how long a change may be in doubt")
	breakage := flag.String("broken", "", "break the contract of stores in this way")
	early := flag.Bool("early", false, "answer before the change is stored")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: nodeserver [-attempt d] [-commit d] [-broken name] [-early] URL|FILE")
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1) // the test has gone
	}()
	o := nodesite.Options{CommitTimeout: *commit, MaxWait: *commit, Early: *early}
	if err := serve(flag.Arg(0), *breakage, *attempt, o, os.Stdout); err != nil {
		log.Fatal("nodeserver: ", err)
	}
}

// open opens the store that every node has.
func open(ctx context.Context, url string, attempt time.Duration) (whole, error) {
	switch scheme, _, _ := strings.Cut(url, "://"); scheme {
	case "postgres", "postgresql":
		return pgstore.Open(ctx, url, pgstore.Attempt(attempt))
	case "nats":
		return natsstore.Open(ctx, url, natsstore.Attempt(attempt))
	case "redis":
		return redisstore.Open(ctx, url, redisstore.Attempt(attempt))
	}
	return sqlitestore.Open(url, sqlitestore.Shared())
}

func serve(url, breakage string, attempt time.Duration, o nodesite.Options, out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	all, err := open(ctx, url, attempt)
	if err != nil {
		return err
	}
	store, err := broken(breakage, all)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	app, handler := nodesite.New(store, o)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	serving := make(chan error, 1)
	go func() { serving <- server.Serve(listener) }()
	if _, err := fmt.Fprintln(out, listener.Addr()); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case err := <-serving:
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return errors.Join(server.Shutdown(ctx), app.Close(ctx))
}
