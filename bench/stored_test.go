package bench_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
	"github.com/stay-go/stay/web"
)

// stored is how many records the database below has.
const stored = 1_000_000

// storedVisitors is how many browsers have a session in it.
const storedVisitors = 1_000

// BenchmarkStored shows what a program costs that has a million records
// stored and nothing in memory. The file is in the cache of the system, as it
// is after a restart of the program; after one of the machine the disk is read.
func BenchmarkStored(b *testing.B) {
	b.Run("records=1000000", func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "million.db")
		began := time.Now()
		d := &database{path: path, visitors: fillDatabase(b, path, began)}
		b.Run("Start", d.start)
		b.Run("FirstGet/key", d.firstGetOfKey)
		b.Run("FirstGet/session", d.firstGetOfSession)
		b.Run("FirstUpdate/key", d.firstUpdateOfKey)
		b.Run("Expired/none", func(b *testing.B) { d.expired(b, began, 0) })
		b.Run("Expired/page", func(b *testing.B) { d.expired(b, began.Add(60*24*time.Hour), page) })
	})
}

// page is how many expired records the App asks for at once.
const page = 256

type database struct {
	path     string
	visitors []*http.Cookie
	next     int // the record that was not read yet
}

// A program is what serves the states of the database.
type program struct {
	app     *stay.App
	states  *stay.State[keyed]
	handler http.Handler
}

func startProgram(b *testing.B, path string) *program {
	app := stay.New(openSQLite(b, path), &stay.Options{MaxNewSessions: 1_000_000})
	counter := stay.Register(app, stay.Module[state]{Name: "counter", Initial: initial, Persist: stay.PerSession})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", web.View(counter, func(_ http.ResponseWriter, _ *http.Request, s *state) error {
		if s.Count != 1 {
			return fmt.Errorf("the counter of the session is %d", s.Count)
		}
		return nil
	}))
	mux.HandleFunc("POST /", web.Update(counter, func(_ http.ResponseWriter, _ *http.Request, s *state) error {
		return increment(s)
	}))
	return &program{app: app, states: stay.Register(app, keyedModule), handler: web.Sessions(app, nil)(mux)}
}

func (p *program) end(b *testing.B) {
	if err := p.app.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// fillDatabase makes the database: one record by the program, a million like
// it by the store, all of which expire some time within a month, and sessions.
func fillDatabase(b *testing.B, path string, now time.Time) []*http.Cookie {
	p := startProgram(b, path)
	cookies := make([]*http.Cookie, storedVisitors)
	err := spread(64, storedVisitors, func(_, i int) error {
		v := visitor{handler: p.handler}
		if err := v.ask(http.MethodPost); err != nil {
			return err
		}
		cookies[i] = v.cookies[0]
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	const example = stored
	if err := incrementAt(b.Context(), p.states, number(example)); err != nil {
		b.Fatal(err)
	}
	p.end(b)

	st := openSQLite(b, path)
	key := func(i int) string { return "key/" + keyedModule.Name + "/" + number(i) }
	records, err := st.Load(b.Context(), []store.Read{{Key: key(example)}})
	if err != nil || records[0].Revision == 0 {
		b.Fatalf("the record of the example: %+v, %v", records, err)
	}
	const batch = 10_000
	for i := 0; i < stored; {
		groups := make([]store.Group, 0, batch)
		for ; len(groups) < batch && i < stored; i++ {
			groups = append(groups, store.Group{{
				Key:     key(i),
				Value:   bytes.Replace(records[0].Value, []byte(number(example)), []byte(number(i)), 1),
				Meta:    records[0].Meta,
				Version: records[0].Version,
				Expires: now.Add(24*time.Hour + time.Duration(i)*2600*time.Millisecond),
			}})
		}
		for _, result := range st.Commit(b.Context(), groups) {
			if result.Outcome != store.Applied {
				b.Fatalf("%+v", result)
			}
		}
	}
	if err := st.Close(); err != nil {
		b.Fatal(err)
	}
	return cookies
}

// start is the time from nothing to the first answer: opening the file, the
// App, its modules, and a request of a browser that was there before.
func (d *database) start(b *testing.B) {
	var times []time.Duration
	for b.Loop() {
		began := time.Now()
		p := startProgram(b, d.path)
		v := visitor{handler: p.handler, cookies: d.visitors[:1]}
		if err := v.ask(http.MethodGet); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(began))
		b.StopTimer()
		p.end(b)
		b.StartTimer()
	}
	reportTimes(b, times)
}

// key returns one that nothing has read, from anywhere in the table.
func (d *database) key() string {
	d.next++
	return number(d.next * 514_229 % stored) // without a common factor, so it meets all
}

// firstGetOfKey is the first read of a state by its key.
func (d *database) firstGetOfKey(b *testing.B) {
	p := startProgram(b, d.path)
	defer p.end(b)
	var times []time.Duration
	for b.Loop() {
		key := d.key()
		began := time.Now()
		k, err := p.states.At(key).Get(b.Context())
		times = append(times, time.Since(began))
		if err != nil || k.ID != key {
			b.Fatal(k, err)
		}
	}
	b.ReportAllocs()
	reportTimes(b, times)
}

// firstGetOfSession is the first request of a browser: its session's record
// and its state are loaded.
func (d *database) firstGetOfSession(b *testing.B) {
	p := startProgram(b, d.path)
	defer func() { p.end(b) }()
	var times []time.Duration
	i := 0
	for b.Loop() {
		if i++; i == len(d.visitors) { // all are in memory
			b.StopTimer()
			p.end(b)
			p, i = startProgram(b, d.path), 1
			b.StartTimer()
		}
		v := visitor{handler: p.handler, cookies: d.visitors[i : i+1]}
		began := time.Now()
		err := v.ask(http.MethodGet)
		times = append(times, time.Since(began))
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	reportTimes(b, times)
}

// firstUpdateOfKey is a change of a state that is not in memory, by 64
// callers, each of another state each time.
func (d *database) firstUpdateOfKey(b *testing.B) {
	p := startProgram(b, d.path)
	defer p.end(b)
	first := d.next
	d.next += b.N
	run(b, 64, func(_, i int) error {
		return incrementAt(b.Context(), p.states, number((first+i+1)*514_229%stored))
	})
}

// expired asks the store what has expired, as the App does once a minute.
func (d *database) expired(b *testing.B, now time.Time, want int) {
	st, err := sqlitestore.Open(d.path)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			b.Error(err)
		}
	}()
	for b.Loop() {
		records, err := st.Expired(b.Context(), now, page)
		if err != nil || len(records) != want {
			b.Fatalf("%d expired, %v", len(records), err)
		}
	}
	b.ReportAllocs()
}
