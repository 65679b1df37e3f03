package main

import (
	"context"
	"crypto/rand"
	"net/http"
	"sync"

	"github.com/stay-go/stay/bench/internal/counter"
)

// page answers with a number that depends on nothing.
func page(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { write(w, n) }
}

// write answers with the counter. Its error means that the client has gone.
func write(w http.ResponseWriter, n int) { _ = counter.Write(w, n) }

// bare does all that HTTP costs and keeps nothing: what the others are
// compared with.
func bare() counter.App {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /increment", page(1))
	mux.HandleFunc("GET /count", page(1))
	mux.HandleFunc("GET /plain", page(0))
	mux.HandleFunc("POST /logout", page(0))
	return counter.App{Handler: mux}
}

// cookieName is that of the cookie which has the id of a counter.
const cookieName = "sid"

// idOf returns the id in a request, "" if there is none.
func idOf(r *http.Request) string {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// setID gives the client its id.
func setID(w http.ResponseWriter, id string) {
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// mapMutex keeps the counters in memory for ever.
func mapMutex(flags *counter.Flags) counter.App {
	var mu sync.Mutex
	counts := map[string]int{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /increment", func(w http.ResponseWriter, r *http.Request) {
		id := idOf(r)
		flags.Think(r.Context())
		mu.Lock()
		n, known := counts[id]
		if !known {
			id = rand.Text()
		}
		n++
		counts[id] = n
		mu.Unlock()
		if !known {
			setID(w, id)
		}
		write(w, n)
	})
	mux.HandleFunc("GET /count", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		n := counts[idOf(r)]
		mu.Unlock()
		write(w, n)
	})
	mux.HandleFunc("GET /plain", page(0))
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		delete(counts, idOf(r))
		mu.Unlock()
		write(w, 0)
	})
	return counter.App{Handler: mux, Keys: func(context.Context) ([]string, error) {
		mu.Lock()
		defer mu.Unlock()
		keys := make([]string, 0, len(counts))
		for id := range counts {
			keys = append(keys, id)
		}
		return keys, nil
	}}
}
