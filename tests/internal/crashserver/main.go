// Command crashserver serves the site of the crash tests from an SQLite file.
// The first line that it writes is the address it listens on and its process
// id. A line on its standard input has it close the App and end; the end of
// its input ends it at once, so that it does not outlive the test.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/sqlitestore"
	"github.com/stay-go/stay/tests/internal/crashsite"
)

func main() {
	log.SetFlags(0)
	ahead := flag.Duration("ahead", 0, "how far the clock is ahead")
	memory := flag.Bool("memory", false, "keep the states of guests in memory")
	sweep := flag.Bool("sweep", false, "look for what has expired all the time")
	shared := flag.Bool("shared", false, "let other processes use the file as well")
	older := flag.Bool("older", false, "be a program that has fewer modules, and no hooks")
	expired := flag.String("expired", "", "append what has expired to this `file`, a line for each state")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: crashserver [-ahead d] [-memory] [-sweep] [-shared] [-older] [-expired file] FILE")
	}
	o := crashsite.Options{Guests: stay.GuestStored, Ahead: *ahead, Shared: *shared, Older: *older}
	if *memory {
		o.Guests = stay.GuestMemory
	}
	if *expired != "" {
		o.Expired = appendTo(*expired)
	}
	if err := serve(flag.Arg(0), o, *sweep, os.Stdin, os.Stdout); err != nil {
		log.Fatal("crashserver: ", err)
	}
}

// appendTo returns what appends a line to a file for each state that expires.
// Several processes may do so at once.
func appendTo(path string) func(module string, by map[string]int) {
	return func(module string, by map[string]int) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			log.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		if _, err := fmt.Fprintln(f, module, by); err != nil {
			log.Fatal(err)
		}
	}
}

func serve(path string, o crashsite.Options, sweep bool, in io.Reader, out io.Writer) error {
	// A server that was killed a moment ago may not be gone yet.
	options := []sqlitestore.Option{sqlitestore.OwnerWait(time.Minute)}
	if o.Shared {
		options = append(options, sqlitestore.Shared())
	}
	store, err := sqlitestore.Open(path, options...)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	app, handler := crashsite.New(store, o)
	if sweep {
		defer crashsite.Sweep(app)()
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	serving := make(chan error, 1)
	go func() { serving <- server.Serve(listener) }()
	if _, err := fmt.Fprintln(out, listener.Addr(), os.Getpid()); err != nil {
		return err
	}
	if _, err := bufio.NewReader(in).ReadString('\n'); err != nil {
		return errors.New("the test has gone")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// The App closes beside the requests that are under way.
	if err := app.Close(ctx); err != nil {
		return err
	}
	if err := server.Close(); err != nil {
		return err
	}
	if err := <-serving; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
