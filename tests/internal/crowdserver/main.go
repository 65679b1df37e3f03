// Command crowdserver is an application with more sessions than fit into its
// memory and more clients than it can serve, in a process of its own whose
// memory a test can look at. It ends when its standard input does, so that it
// does not outlive the test.
//
// With -http it listens, and the first line that it writes is the address.
// Without, it takes requests on its standard input and answers on its standard
// output, see pipe.go: for tests that make millions of them, which spend their
// time in the handlers then and not in the sockets.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
	"github.com/stay-go/stay/store/storefault"
	"github.com/stay-go/stay/web"
)

// A Visit is the state of a session.
type Visit struct {
	Count int    `json:"count"`
	Note  string `json:"note"`
}

func main() {
	var o stay.Options
	db := flag.String("db", "", "the database")
	listens := flag.Bool("http", false, "listen instead of reading requests")
	delay := flag.Duration("commit", 0, "how much longer each commit takes")
	flag.IntVar(&o.MaxInstances, "max-instances", 0, "see stay.Options")
	flag.IntVar(&o.MaxGuests, "max-guests", 0, "see stay.Options")
	flag.IntVar(&o.MaxWaiters, "max-waiters", 0, "see stay.Options")
	flag.IntVar(&o.MaxNewSessions, "max-new-sessions", 1_000_000, "see stay.Options; tests begin more at once than people do")
	flag.DurationVar(&o.MaxWait, "max-wait", 0, "see stay.Options")
	flag.Parse()
	o.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	if err := run(*db, *listens, *delay, &o); err != nil {
		log.Fatal(err)
	}
}

func run(db string, listens bool, delay time.Duration, o *stay.Options) error {
	var s store.Store
	s, err := sqlitestore.Open(db)
	if err != nil {
		return err
	}
	if delay > 0 {
		slow := storefault.Wrap(s, nil)
		slow.Add(storefault.Rule{Op: storefault.Commit, Fault: storefault.Delay(delay, 0)})
		s = slow
	}
	app := stay.New(s, o)
	h := handler(app)
	if listens {
		return listen(h)
	}
	if err := pipe(h, os.Stdin, os.Stdout); err != nil {
		return err
	}
	return app.Close(context.Background())
}

// listen serves until the standard input ends.
func listen(h http.Handler) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(os.Stdout, listener.Addr()); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	return http.Serve(listener, h) //nolint:gosec // its only client is a test
}

func handler(app *stay.App) http.Handler {
	visit := stay.Register(app, stay.Module[Visit]{Name: "visit", Persist: stay.PerSession})
	draft := stay.Register(app, stay.Module[Visit]{Name: "draft"})
	total := stay.Register(app, stay.Module[Visit]{Name: "total", Persist: stay.Global})
	mux := http.NewServeMux()
	for name, state := range map[string]*stay.State[Visit]{"visit": visit, "draft": draft, "total": total} {
		mux.Handle("GET /"+name, web.View(state, show))
		mux.Handle("POST /"+name, web.Update(state, change))
		mux.Handle("POST /"+name+"/same", web.Update(state, show))
	}
	// A change of the total that takes until /release; once.
	running, goOn := make(chan struct{}), make(chan struct{})
	mux.Handle("POST /hold", web.Update(total, func(w http.ResponseWriter, r *http.Request, v *Visit) error {
		close(running)
		<-goOn
		return change(w, r, v)
	}))
	mux.HandleFunc("GET /held", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-running:
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST /release", func(http.ResponseWriter, *http.Request) { close(goOn) })
	mux.HandleFunc("GET /heap", heap)
	mux.HandleFunc("GET /goroutines", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, runtime.NumGoroutine())
	})
	return web.Sessions(app, nil)(mux)
}

func show(w http.ResponseWriter, _ *http.Request, v *Visit) error {
	_, err := fmt.Fprintf(w, "%d %s", v.Count, v.Note)
	return err
}

// change counts one more and notes the query.
func change(w http.ResponseWriter, r *http.Request, v *Visit) error {
	v.Count++
	v.Note = r.URL.RawQuery
	return show(w, r, v)
}

// heap answers with the bytes that are in use once the garbage has gone.
func heap(w http.ResponseWriter, _ *http.Request) {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	_, _ = fmt.Fprint(w, m.HeapAlloc)
}
