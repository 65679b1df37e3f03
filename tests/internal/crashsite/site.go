// Package crashsite is the site that the crash tests use and end without
// warning: a module for each kind of state that can be lost, torn or brought
// back, each with what shows that it is whole.
package crashsite

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/web"
)

const (
	// BriefExpiry is how long the states of the module brief stay.
	BriefExpiry = 12 * time.Hour
	// IdleTimeout is how long sessions are kept that nobody uses.
	IdleTimeout = 24 * time.Hour
	// Debounce is that of the module draft: short, so that a server that is
	// killed soon has stored some of it.
	Debounce = 2 * time.Millisecond
)

// OpHeader numbers a request. The response has the same, so that it can be
// recognised in what the server sends.
const OpHeader = "Op"

// Own is the state of a session.
type Own struct {
	Tally Tally `json:"tally"`
	Kept  int   `json:"kept" stay:"preserve"`
}

// Notes belong to whom their key field names.
type Notes struct {
	User  string `json:"user" stay:"key"`
	Tally Tally  `json:"tally"`
}

type site struct {
	app   *stay.App
	own   *stay.State[Own]
	brief *stay.State[Tally] // of a session, expires
	draft *stay.State[Tally] // of a session, debounced
	notes *stay.State[Notes]
	cart  *stay.State[Tally] // of a user
	list  *stay.State[Tally] // likewise: one login moves both
	total *stay.State[Tally] // of everybody
}

// Options are the settings of a site.
type Options struct {
	// Guests is where the states of guests are kept.
	Guests stay.GuestMode
	// Ahead is how far the clock is ahead of the real one.
	Ahead time.Duration
	// Shared: other processes use the store, so nothing is debounced.
	Shared bool
	// Older makes it the site of a program that has fewer modules, and no hooks.
	Older bool
	// Expired is told of the states that expire: of their module, and of what
	// whom has done in them.
	Expired func(module string, by map[string]int)
}

// OlderPaths are those that the site of an older program has.
var OlderPaths = []string{"/own/add", "/own/keep", "/own/reset", "/own/resetall", "/total/add", "/cart/add", "/login", "/logout", "/renew", "/destroy", "/revoke"}

// New returns an App on the store, which it owns, and its site.
func New(s store.Store, o Options) (*stay.App, http.Handler) {
	x := &site{app: stay.New(s, &stay.Options{
		Clock:          func() time.Time { return time.Now().Add(o.Ahead) },
		Guests:         o.Guests,
		IdleTimeout:    IdleTimeout,
		MaxNewSessions: 1_000_000, // tests begin more at once than people do
	})}
	adopt := func(stored, guest *Tally) error {
		stored.merge(guest)
		return nil
	}
	x.own = stay.Register(x.app, stay.Module[Own]{Name: "own", Persist: stay.PerSession})
	x.cart = stay.Register(x.app, stay.Module[Tally]{Name: "cart", Persist: stay.PerUser, Adopt: adopt})
	x.total = stay.Register(x.app, stay.Module[Tally]{Name: "total", Persist: stay.Global})
	if !o.Older {
		x.newer(o, adopt)
	}
	return x.app, x.handler(o.Older)
}

// newer registers the modules that an older program does not have.
func (x *site) newer(o Options, adopt func(stored, guest *Tally) error) {
	debounce := Debounce
	if o.Shared {
		debounce = 0
	}
	hook := func(module string) func(*stay.Call, *Tally) {
		return func(_ *stay.Call, t *Tally) { // also so that what has expired is buried, not overwritten
			if o.Expired != nil {
				o.Expired(module, t.By)
			}
		}
	}
	x.brief = stay.Register(x.app, stay.Module[Tally]{
		Name: "brief", Persist: stay.PerSession, Expiry: BriefExpiry, OnExpire: hook("brief"),
	})
	x.draft = stay.Register(x.app, stay.Module[Tally]{Name: "draft", Persist: stay.PerSession, Debounce: debounce, OnExpire: hook("draft")})
	x.notes = stay.Register(x.app, stay.Module[Notes]{
		Name: "notes", Persist: stay.WithKey(func(n *Notes) string { return n.User }),
		Adopt: func(stored, result *Notes) error { return adopt(&stored.Tally, &result.Tally) },
	})
	x.list = stay.Register(x.app, stay.Module[Tally]{Name: "list", Persist: stay.PerUser, Adopt: adopt})
}

// handler serves the site.
func (x *site) handler(older bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /own/add", web.Update(x.own, func(_ http.ResponseWriter, r *http.Request, o *Own) error {
		return o.Tally.add(r)
	}))
	mux.Handle("POST /own/keep", web.Update(x.own, func(_ http.ResponseWriter, _ *http.Request, o *Own) error {
		o.Kept++
		return nil
	}))
	x.handle(mux, "POST /own/reset", func(ctx context.Context, _ *http.Request) error {
		_, err := x.own.Reset(ctx)
		return err
	})
	x.handle(mux, "POST /own/resetall", func(ctx context.Context, _ *http.Request) error {
		_, err := x.own.ResetAll(ctx)
		return err
	})
	for path, state := range map[string]*stay.State[Tally]{
		"/brief/add": x.brief, "/draft/add": x.draft, "/cart/add": x.cart, "/list/add": x.list, "/total/add": x.total,
	} {
		if state == nil {
			continue
		}
		mux.Handle("POST "+path, web.Update(state, func(_ http.ResponseWriter, r *http.Request, t *Tally) error { return t.add(r) }))
	}
	if !older {
		x.handleNewer(mux)
	}
	x.handle(mux, "POST /login", func(ctx context.Context, r *http.Request) error {
		return stay.SessionFrom(ctx).Login(ctx, r.FormValue("user"))
	})
	x.handle(mux, "POST /logout", func(ctx context.Context, _ *http.Request) error { return stay.SessionFrom(ctx).Logout(ctx) })
	x.handle(mux, "POST /renew", func(ctx context.Context, _ *http.Request) error { return stay.SessionFrom(ctx).Renew(ctx) })
	x.handle(mux, "POST /destroy", func(ctx context.Context, _ *http.Request) error { return stay.SessionFrom(ctx).Destroy(ctx) })
	x.handle(mux, "POST /revoke", func(ctx context.Context, r *http.Request) error {
		return x.app.Revoke(ctx, r.FormValue("user"))
	})
	sessions := web.Sessions(x.app, nil)(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(OpHeader, r.Header.Get(OpHeader))
		sessions.ServeHTTP(w, r)
	})
}

// handleNewer serves what an older program does not have.
func (x *site) handleNewer(mux *http.ServeMux) {
	mux.Handle("POST /notes/add", web.Update(x.notes, func(_ http.ResponseWriter, r *http.Request, n *Notes) error {
		return n.Tally.add(r)
	}))
	mux.Handle("POST /notes/become", web.Update(x.notes, func(_ http.ResponseWriter, r *http.Request, n *Notes) error {
		n.User = r.FormValue("user") // "" for a logout
		return n.Tally.add(r)        // which comes along with the guest's, and is dropped otherwise
	}))
	x.handle(mux, "POST /notes/forget", func(ctx context.Context, _ *http.Request) error { return x.notes.Delete(ctx) })
	mux.Handle("POST /all", web.Handle(x.all))
}

// Sweep has the App look for what has expired again and again, beside all else,
// until the function that it returns is called.
func Sweep(app *stay.App) (stop func()) {
	pauses := time.NewTicker(time.Millisecond) // the server has other things to do
	ended, end := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			access.AppOf(app).Sweep()
			select {
			case <-pauses.C:
			case <-end:
				return
			}
		}
	}()
	return func() {
		pauses.Stop()
		close(end)
		<-ended
	}
}

func (x *site) handle(mux *http.ServeMux, pattern string, fn func(ctx context.Context, r *http.Request) error) {
	mux.Handle(pattern, web.Handle(func(_ http.ResponseWriter, r *http.Request) error { return fn(r.Context(), r) }))
}

// count reads a parameter that says how many, 1 unless given.
func count(r *http.Request, name string) (int, error) {
	text := r.FormValue(name)
	if text == "" {
		return 1, nil
	}
	return strconv.Atoi(text)
}
