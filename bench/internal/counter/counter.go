// Package counter is what the measured servers have in common: the pages of a
// counter, the flags, the figures about the process, and a clean end.
package counter

import (
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// shutdownTimeout bounds each step of a clean end.
const shutdownTimeout = 10 * time.Second

// An App is one way to keep a counter for each session. Only Handler must be
// set.
type App struct {
	// Handler serves POST /increment, GET /count, GET /plain, which does not
	// touch the session, and POST /logout, which ends it.
	Handler http.Handler
	// Keys lists what the store has; nil if there is none.
	Keys func(context.Context) ([]string, error)
	// Dir is where the store keeps its files; "" if there are none.
	Dir string
	// Close is called once no request is under way.
	Close func(context.Context) error
}

// Flags are those that every server takes.
type Flags struct {
	addr, admin string
	think       time.Duration
	piped       bool
}

// NewFlags registers the flags.
func NewFlags(set *flag.FlagSet) *Flags {
	f := &Flags{}
	set.StringVar(&f.addr, "addr", "127.0.0.1:8080", "`address` to serve the counter on")
	set.StringVar(&f.admin, "admin", "", "`address` to serve /mem, /store and /debug/pprof on; none by default")
	set.DurationVar(&f.think, "think", 0, "pause inside the change of POST /increment, between read and write")
	set.BoolVar(&f.piped, "piped", false, "end when standard input ends, and so with the process that started this one")
	return f
}

// Think pauses as -think says, at most until ctx ends.
func (f *Flags) Think(ctx context.Context) {
	if f.think == 0 {
		return
	}
	t := time.NewTimer(f.think)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Write answers a request with the counter.
func Write(w http.ResponseWriter, n int) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	var buf [48]byte
	b := append(buf[:0], "<span id=count>"...)
	b = strconv.AppendInt(b, int64(n), 10)
	_, err := w.Write(append(b, "</span>"...))
	return err
}

// Serve runs the app until the process is interrupted or told to terminate,
// then answers what is under way and closes the app.
func Serve(f *Flags, app App) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if f.piped {
		go func() { // ends with the process at the latest
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	if app.Close != nil {
		defer func() { err = errors.Join(err, bounded(app.Close)) }()
	}
	server := &http.Server{Handler: app.Handler, ReadHeaderTimeout: time.Minute}
	stopped := make(chan error, 2)
	if err := listen(f.addr, server, stopped); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end(server)) }()
	if f.admin != "" {
		admin := &http.Server{Handler: adminHandler(app), ReadHeaderTimeout: time.Minute}
		if err := listen(f.admin, admin, stopped); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, end(admin)) }()
	}
	select {
	case err := <-stopped:
		return err
	case <-ctx.Done():
		return nil
	}
}

func listen(addr string, server *http.Server, stopped chan<- error) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	go func() { stopped <- server.Serve(listener) }()
	return nil
}

func end(server *http.Server) error {
	if err := bounded(server.Shutdown); err != nil {
		return errors.Join(err, server.Close())
	}
	return nil
}

func bounded(step func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	return step(ctx)
}
