// Command nodeserver is one node of the site of tests/internal/nodesite, on
// PostgreSQL, on Redis, on NATS, on Durable Objects or on an SQLite file that it
// shares with others; several of them are several databases. The first line that it
// writes is the address it listens on. SIGTERM has it end as a node does that is
// replaced; the end of its standard input ends it at once, so that it does not
// outlive the test.
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
	"syscall"
	"time"

	"github.com/stay-go/stay/tests/internal/nodesite"
)

func main() {
	log.SetFlags(log.Lmicroseconds)
	attempt := flag.Duration("attempt", 2*time.Second, "how long one sending of a commit may take")
	commit := flag.Duration("commit", 10*time.Second, "how long a change may be in doubt")
	breakage := flag.String("broken", "", "break the contract of stores in this way")
	early := flag.Bool("early", false, "answer before the change is stored")
	flag.Parse()
	if flag.NArg() == 0 {
		log.Fatal("usage: nodeserver [-attempt d] [-commit d] [-broken name] [-early] URL|FILE...")
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1) // the test has gone
	}()
	o := nodesite.Options{CommitTimeout: *commit, MaxWait: *commit, Early: *early}
	if err := serve(flag.Args(), *breakage, *attempt, o, os.Stdout); err != nil {
		log.Fatal("nodeserver: ", err)
	}
}

func serve(urls []string, breakage string, attempt time.Duration, o nodesite.Options, out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	all, err := openAll(ctx, urls, attempt)
	if err != nil {
		return err
	}
	opened, err := broken(breakage, all)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	app, handler := nodesite.New(opened, o)
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
