// Package serve is what the examples have in common: a program with the flags
// -addr, -db, -inspect and -manifest that serves one App on an SQLite file and shuts down cleanly,
// and the files that every page needs.
package serve

import (
	"context"
	"embed"
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
	"github.com/stay-go/stay/manifest"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/sqlitestore"
)

// Limits of the server. A request to these programs is a click or a small page,
// so a request that takes longer comes from a stuck client.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	// shutdownTimeout bounds each of the two steps of a clean shutdown:
	// answering the requests under way, then closing the App.
	shutdownTimeout = 10 * time.Second
)

// Main is the main function of an example. It makes an App with these options
// and serves the handler that newHandler returns for it, until an interrupt or
// SIGTERM tells the program to end. A second signal ends it at once. Errors are
// written to stderr and end the program with exit code 1.
func Main(program string, opts *stay.Options, newHandler func(*stay.App) http.Handler) {
	Run(program, func(ctx context.Context) error {
		return run(ctx, program, os.Args[1:], os.Stdout, opts, newHandler)
	})
}

// Run is the part of Main for programs with flags of their own: it runs program
// with a context that an interrupt or SIGTERM ends.
func Run(name string, program func(ctx context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)

	if err := program(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// run opens the database and serves the handler on it.
func run(ctx context.Context, program string, args []string, stdout io.Writer, opts *stay.Options, newHandler func(*stay.App) http.Handler) error {
	flags := flag.NewFlagSet(program, flag.ExitOnError)
	addr := flags.String("addr", "127.0.0.1:3000", "`address` to listen on; port 0 picks a free one")
	inspector := flags.Bool("inspect", false, "show what the app has at /debug/stay/, to browsers on this machine; not behind a proxy")
	db := flags.String("db", program+".db", "SQLite `file`, created if it does not exist")
	printManifest := flags.Bool("manifest", false, "print what the program registers, for stay deploy, and end")
	_ = flags.Parse(args) // it exits
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if *printManifest {
		return describe(stdout, opts, newHandler)
	}

	store, err := sqlitestore.Open(*db)
	if err != nil {
		return fmt.Errorf("open the database: %w", err)
	}
	app := stay.New(store, opts)
	handler := newHandler(app)
	if *inspector {
		handler = withInspector(app, handler)
	}
	return Serve(ctx, *addr, stdout, app, handler)
}

// describe prints what the program registers. It opens no store.
func describe(stdout io.Writer, opts *stay.Options, newHandler func(*stay.App) http.Handler) error {
	app := stay.New(memstore.New(), opts)
	newHandler(app)
	return errors.Join(manifest.Write(stdout, app), app.Close(context.Background()))
}

// Serve serves until ctx ends, then shuts down cleanly and closes the App. The
// address it listens on is the first line written to stdout.
func Serve(ctx context.Context, addr string, stdout io.Writer, app *stay.App, handler http.Handler) (err error) {
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if cerr := app.Close(closing); cerr != nil {
			err = errors.Join(err, fmt.Errorf("close the app: %w", cerr))
		}
	}()

	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           handler,
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

// files are htmx, Datastar and their licences.
//
//go:embed static
var files embed.FS

// Static serves htmx, Datastar and their licences under /static/. Browsers may
// keep them for a year: the file names contain the version.
func Static() http.Handler {
	serve := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		serve.ServeHTTP(w, r)
	})
}
