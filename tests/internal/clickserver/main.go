// Command clickserver serves counters from an SQLite file, which it shares with
// other processes if asked to, for tests of a whole process. The first line it
// writes is the address it listens on. It ends when its standard input does, so
// that it does not outlive the test.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/sqlitestore"
	"github.com/stay-go/stay/web"
)

// A Counter is the state of a session, and of everybody together.
type Counter struct {
	Count int `json:"count"`
}

func main() {
	var options []sqlitestore.Option
	switch {
	case len(os.Args) == 3 && os.Args[2] == "shared":
		options = append(options, sqlitestore.Shared())
	case len(os.Args) != 2:
		log.Fatal("usage: clickserver FILE [shared]")
	}
	store, err := sqlitestore.Open(os.Args[1], options...)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := fmt.Fprintln(os.Stdout, listener.Addr()); err != nil {
		log.Fatal(err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	app := stay.New(store, &stay.Options{MaxNewSessions: 1_000_000}) // tests begin more at once than people do
	log.Fatal(http.Serve(listener, handler(app)))                    //nolint:gosec // its only client is a test
}

func handler(app *stay.App) http.Handler {
	counter := stay.Register(app, stay.Module[Counter]{Name: "counter", Persist: stay.PerSession})
	total := stay.Register(app, stay.Module[Counter]{Name: "total", Persist: stay.Global})
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", web.View(counter, show))
	mux.Handle("POST /click", web.Update(counter, click))
	mux.Handle("GET /total", web.View(total, show))
	mux.Handle("POST /total/click", web.Update(total, click))
	mux.HandleFunc("GET /heap", heap)
	return web.Sessions(app, nil)(mux)
}

func show(w http.ResponseWriter, _ *http.Request, c *Counter) error {
	_, err := fmt.Fprint(w, c.Count)
	return err
}

func click(w http.ResponseWriter, r *http.Request, c *Counter) error {
	c.Count++
	return show(w, r, c)
}

// heap answers with the bytes that are in use once the garbage has gone.
func heap(w http.ResponseWriter, _ *http.Request) {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	_, _ = fmt.Fprint(w, m.HeapAlloc)
}
