// Command streamserver is an application whose page many look at, in a process of
// its own whose processor time a test can look at. It listens for HTTP/1.1 and for
// HTTP/2 without TLS. The first line it writes is its address; after that it
// answers each line it reads:
//
//	burst COUNT PERIOD   changes the state COUNT times, one each PERIOD, and says
//	                     how long the changes took: the median, the 99th of 100, the longest
//	cpu                  says how much processor time the process has used
//
// It ends when its standard input does, so that it does not outlive the test.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/web"
)

// A Board is what everybody looks at.
type Board struct {
	N int `json:"n"`
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	// What counts here is the cost of the streams and not that of a disk.
	app := stay.New(memstore.New(), nil)
	board := stay.Register(app, stay.Module[Board]{Name: "board", Persist: stay.Global})
	mux := http.NewServeMux()
	mux.Handle("GET /live", web.Live(web.Part("board", board, func(w io.Writer, b *Board) error {
		_, err := fmt.Fprintf(w, "<p>n=%d;</p>", b.N)
		return err
	})))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var both http.Protocols
	both.SetHTTP1(true)
	both.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:   web.Sessions(app, &web.Options{Live: web.LiveOptions{Max: 25_000}})(mux),
		Protocols: &both, ReadHeaderTimeout: 10 * time.Second,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if _, err := fmt.Fprintln(os.Stdout, listener.Addr()); err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if err := answer(board, in.Text()); err != nil {
			return err
		}
	}
	if err := server.Close(); err != nil {
		return err
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return app.Close(context.Background())
}

func answer(board *stay.State[Board], question string) error {
	if question == "cpu" {
		used, err := cpu()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(os.Stdout, used)
		return err
	}
	var count int
	var period string
	if _, err := fmt.Sscanf(question, "burst %d %s", &count, &period); err != nil {
		return fmt.Errorf("%q: %w", question, err)
	}
	return burst(board, count, period)
}

func burst(board *stay.State[Board], count int, period string) error {
	every, err := time.ParseDuration(period)
	if err != nil {
		return err
	}
	next := time.NewTicker(every)
	defer next.Stop()
	took := make([]time.Duration, count)
	for i := range took {
		<-next.C
		begin := time.Now()
		if _, err := board.Update(context.Background(), func(b *Board) error { b.N++; return nil }); err != nil {
			return err
		}
		took[i] = time.Since(begin)
	}
	slices.Sort(took)
	_, err = fmt.Fprintln(os.Stdout, took[count/2], took[count*99/100], took[count-1])
	return err
}

// cpu is the processor time that the process has used.
func cpu() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, err
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}
