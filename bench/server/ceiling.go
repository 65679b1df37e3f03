package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"path/filepath"
	"sync"

	"github.com/stay-go/stay/bench/internal/counter"
)

// A ledger keeps the counters in a map and writes each change to a log.
type ledger struct {
	log *batchLog

	mu     sync.Mutex
	counts map[string]int
}

// ceiling is about the least that a durable counter has to do: a map, and a log that
// one goroutine writes and syncs for all who wait. What Stay does beyond that is its
// own cost, what this does is the cost of being durable. It can do less than a program
// should: no session ends or is forgotten, cookies are not signed, a read may show what
// is not on the disk yet, and when the log is full it starts over.
func ceiling(where string, flags *counter.Flags) (counter.App, error) {
	dir, ok, err := folder(where, "log:")
	if err != nil {
		return counter.App{}, err
	}
	if !ok {
		return counter.App{}, unknown(where, "log:DIR")
	}
	log, err := openLog(filepath.Join(dir, "log"))
	if err != nil {
		return counter.App{}, err
	}
	l := &ledger{log: log, counts: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /increment", func(w http.ResponseWriter, r *http.Request) {
		flags.Think(r.Context())
		id, n, stored, err := l.increment(idOf(r))
		if err == nil {
			err = stored.wait(r.Context())
		}
		if err != nil {
			refuse(w, err)
			return
		}
		if n == 1 {
			setID(w, id)
		}
		write(w, n)
	})
	mux.HandleFunc("GET /count", func(w http.ResponseWriter, r *http.Request) { write(w, l.count(idOf(r))) })
	mux.HandleFunc("GET /plain", page(0))
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		stored, err := l.remove(idOf(r))
		if err == nil && stored != nil {
			err = stored.wait(r.Context())
		}
		if err != nil {
			refuse(w, err)
			return
		}
		write(w, 0)
	})
	return counter.App{Handler: mux, Keys: l.ids, Dir: dir, Close: log.close}, nil
}

// refuse answers a change that was not stored.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	if errors.Is(err, errFull) {
		status = http.StatusServiceUnavailable
	}
	http.Error(w, err.Error(), status)
}

// increment adds one to a counter, a new one if there is none of this id. It counts
// once the batch is stored. The log has the records of one counter in their order,
// since they get there under the lock.
func (l *ledger) increment(id string) (_ string, n int, stored *batch, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, known := l.counts[id]
	if !known {
		id = rand.Text()
	}
	n++
	if stored, err = l.log.add(id, n); err != nil {
		return "", 0, nil, err
	}
	l.counts[id] = n
	return id, n, stored, nil
}

// remove ends a counter; the batch is nil if there was none.
func (l *ledger) remove(id string) (stored *batch, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.counts[id]; !known {
		return nil, nil
	}
	if stored, err = l.log.add(id, 0); err == nil {
		delete(l.counts, id)
	}
	return stored, err
}

func (l *ledger) count(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[id]
}

func (l *ledger) ids(context.Context) ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := make([]string, 0, len(l.counts))
	for id := range l.counts {
		ids = append(ids, id)
	}
	return ids, nil
}
