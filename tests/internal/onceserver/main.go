// Command onceserver serves ledgers from an SQLite file, for tests that send very
// many actions with an id: of a session, of a user and of a name that a queue
// gives. The first line that it writes is the address it listens on and its
// process id. A line on its standard input has it close the App and end; the end
// of its input ends it at once, so that it does not outlive the test.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/sqlitestore"
	"github.com/stay-go/stay/web"
)

// A Ledger counts actions, and adds up their numbers: one that is lost and one
// that is made twice do not make up for each other.
type Ledger struct {
	Actions int    `json:"actions"`
	Sum     uint64 `json:"sum,string"`
}

func (l *Ledger) add(r *http.Request) error {
	var number uint64
	if _, err := fmt.Sscan(r.URL.Query().Get("number"), &number); err != nil {
		return stay.Invalid("number", err.Error())
	}
	l.Actions++
	l.Sum += number
	return nil
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: onceserver FILE")
	}
	if err := serve(os.Args[1]); err != nil {
		log.Fatal("onceserver: ", err)
	}
}

func serve(path string) error {
	// A server that was killed a moment ago may not be gone yet.
	s, err := sqlitestore.Open(path, sqlitestore.OwnerWait(time.Minute))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	app := stay.New(s, &stay.Options{Guests: stay.GuestStored, MaxNewSessions: 1_000_000})
	server := &http.Server{Handler: handler(app), ReadHeaderTimeout: time.Minute}
	serving := make(chan error, 1)
	go func() { serving <- server.Serve(listener) }()
	if _, err := fmt.Fprintln(os.Stdout, listener.Addr(), os.Getpid()); err != nil {
		return err
	}
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
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

func handler(app *stay.App) http.Handler {
	own := stay.Register(app, stay.Module[Ledger]{Name: "own", Persist: stay.PerSession})
	cart := stay.Register(app, stay.Module[Ledger]{
		Name: "cart", Persist: stay.PerUser,
		Adopt: func(stored, guest *Ledger) error {
			stored.Actions += guest.Actions
			stored.Sum += guest.Sum
			return nil
		},
	})
	inbox := stay.Register(app, stay.Module[Ledger]{Name: "inbox", Persist: stay.PerUser})
	add := func(_ http.ResponseWriter, r *http.Request, l *Ledger) error { return l.add(r) }

	mux := http.NewServeMux()
	mux.Handle("POST /own/add", web.Update(own, add))
	mux.Handle("POST /cart/add", web.Update(cart, add))
	mux.Handle("POST /login", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		return stay.SessionFrom(r.Context()).Login(r.Context(), r.URL.Query().Get("user"))
	}))
	mux.Handle("GET /ledgers", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		ctx := r.Context()
		mine, err1 := own.Get(ctx)
		things, err2 := cart.Get(ctx)
		letters, err3 := inbox.At(r.URL.Query().Get("inbox")).Get(ctx)
		if errors.Is(err3, stay.ErrNotFound) {
			letters, err3 = &Ledger{}, nil
		}
		if err := errors.Join(err1, err2, err3); err != nil {
			return err
		}
		_, err := fmt.Fprintln(w, mine.Actions, mine.Sum, things.Actions, things.Sum, letters.Actions, letters.Sum)
		return err
	}))
	all := http.NewServeMux()
	all.Handle("/", web.Sessions(app, nil)(mux))
	// A queue has no session, and delivers what is a message's id in its own way.
	all.Handle("POST /deliver", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		made := false
		_, err := inbox.At(r.URL.Query().Get("inbox")).Update(stay.Once(r.Context(), r.URL.Query().Get("id")), func(l *Ledger) error {
			made = true
			return l.add(r)
		})
		if err == nil && !made {
			w.Header().Set("Idempotency-Replayed", "true")
		}
		return err
	}))
	return all
}
