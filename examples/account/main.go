// Command account shows what belongs to a user, what belongs to a browser, and
// how one login moves the former: a small tea shop with a cart, a profile, the
// teas that were looked at, and the list of the devices that a user is signed
// in on, kept in an SQLite file. A login outlives a restart and a kill -9.
//
// It asks for no password: see login in handler.go for where that belongs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/sqlitestore"
)

// Limits of the server. A request of this program is a click or a small page,
// so what takes longer is a stuck client.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	// shutdownTimeout bounds each of the two steps of a clean end: answering
	// the requests under way, then closing the app.
	shutdownTimeout = 10 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)

	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "account:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, then shuts down cleanly. The address it listens
// on is the first line written to stdout.
func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet("account", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:3000", "`address` to listen on; port 0 picks a free one")
	db := flags.String("db", "account.db", "SQLite `file`, made if there is none")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}

	store, err := sqlitestore.Open(*db)
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	app := stay.New(store, options())
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if cerr := app.Close(closing); cerr != nil {
			err = errors.Join(err, fmt.Errorf("close the app: %w", cerr))
		}
	}()

	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           newHandler(newShop(app)),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
	}
	if _, err := fmt.Fprintf(stdout, "listening on http://%s\n", listener.Addr()); err != nil {
		return errors.Join(err, listener.Close())
	}

	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		return errors.Join(fmt.Errorf("stop the server: %w", err), server.Close())
	}
	return nil
}

// options are the App's, here and in the tests. A cart is worth something
// before its owner has signed in, so guests are kept in the file too and not
// only in memory.
func options() *stay.Options {
	return &stay.Options{Guests: stay.GuestStored}
}
