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
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: crashserver [-ahead d] [-memory] [-sweep] FILE")
	}
	guests := stay.GuestStored
	if *memory {
		guests = stay.GuestMemory
	}
	if err := serve(flag.Arg(0), guests, *ahead, *sweep, os.Stdin, os.Stdout); err != nil {
		log.Fatal("crashserver: ", err)
	}
}

func serve(path string, guests stay.GuestMode, ahead time.Duration, sweep bool, in io.Reader, out io.Writer) error {
	// A server that was killed a moment ago may not be gone yet.
	store, err := sqlitestore.Open(path, sqlitestore.OwnerWait(time.Minute))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	app, handler := crashsite.New(store, guests, ahead)
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
