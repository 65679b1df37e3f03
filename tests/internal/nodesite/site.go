// Package nodesite is the site that tests of several nodes use: registers of
// sessions, of users, of keys and of everybody, which say what became of each
// change.
package nodesite

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/web"
)

// An Answer is what a request is answered with.
type Answer struct {
	// Session is the ID of the request's session, "" if it has ended or if that
	// cannot be found out.
	Session string `json:"session"`
	User    string `json:"user"`
	Key     string `json:"key"`
	Register
}

// A Refusal is what a request that fails is answered with.
type Refusal struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

// Options are the settings of a site.
type Options struct {
	// CommitTimeout and MaxWait are those of the App.
	CommitTimeout, MaxWait time.Duration
	// Early answers before the change is stored, which must not be.
	Early bool
}

type site struct {
	early     bool
	app       *stay.App
	own, user *stay.State[Register]
	all       *stay.State[Register]
	brief     *stay.State[Register] // of everybody, and often deleted
	keyed     *stay.State[Keyed]
}

// New returns an App on the store, which it owns, and its site.
func New(s store.Store, o Options) (*stay.App, http.Handler) {
	x := &site{early: o.Early, app: stay.New(s, &stay.Options{
		CommitTimeout: o.CommitTimeout, MaxWait: o.MaxWait,
		MaxState:       1_000_000, // NATS takes little more
		MaxNewSessions: 1_000_000, // tests begin more at once than people do
	})}
	x.own = stay.Register(x.app, stay.Module[Register]{Name: "own", Persist: stay.PerSession})
	x.all = stay.Register(x.app, stay.Module[Register]{Name: "all", Persist: stay.Global})
	x.brief = stay.Register(x.app, stay.Module[Register]{Name: "brief", Persist: stay.Global})
	x.user = stay.Register(x.app, stay.Module[Register]{
		Name: "user", Persist: stay.PerUser,
		Adopt: func(stored, guest *Register) error { stored.merge(guest); return nil },
	})
	x.keyed = stay.Register(x.app, stay.Module[Keyed]{
		Name: "keyed", Persist: stay.WithKey(func(k *Keyed) string { return k.Key }),
		Adopt: func(stored, result *Keyed) error { stored.merge(&result.Register); return nil },
	})
	return x.app, x.handler()
}

func (x *site) handler() http.Handler {
	mux := http.NewServeMux()
	for name, state := range map[string]*stay.State[Register]{"own": x.own, "user": x.user, "all": x.all, "brief": x.brief} {
		handle(mux, "GET /"+name, func(ctx context.Context, _ *http.Request) (*Register, error) { return state.Get(ctx) })
		handle(mux, "POST /"+name+"/add", func(ctx context.Context, r *http.Request) (*Register, error) {
			return x.add(ctx, state, r.FormValue("op"))
		})
		handle(mux, "POST /"+name+"/reset", func(ctx context.Context, _ *http.Request) (*Register, error) { return state.Reset(ctx) })
	}
	handle(mux, "POST /brief/remove", func(ctx context.Context, _ *http.Request) (*Register, error) {
		return &Register{}, x.brief.Delete(ctx)
	})
	handle(mux, "GET /keyed", func(ctx context.Context, _ *http.Request) (*Keyed, error) { return x.keyed.Get(ctx) })
	handle(mux, "POST /keyed/add", func(ctx context.Context, r *http.Request) (*Keyed, error) {
		return x.keyed.Update(ctx, func(s *Keyed) error { s.add(r.FormValue("op")); return nil })
	})
	handle(mux, "POST /keyed/switch", func(ctx context.Context, r *http.Request) (*Keyed, error) {
		return x.keyed.Update(ctx, func(s *Keyed) error { s.Key = r.FormValue("key"); return nil })
	})
	handle(mux, "GET /at/user/{key}", func(ctx context.Context, r *http.Request) (*Register, error) {
		return stored(x.user.At(r.PathValue("key")).Get(ctx))
	})
	handle(mux, "POST /at/user/{key}/add", func(ctx context.Context, r *http.Request) (*Register, error) {
		return x.user.At(r.PathValue("key")).Update(ctx, func(s *Register) error { s.add(r.FormValue("op")); return nil })
	})
	handle(mux, "GET /at/keyed/{key}", func(ctx context.Context, r *http.Request) (*Keyed, error) {
		return stored(x.keyed.At(r.PathValue("key")).Get(ctx))
	})
	handle(mux, "GET /at/sessions/{key}", func(ctx context.Context, r *http.Request) (*Register, error) {
		return x.sessions(ctx, r.PathValue("key"))
	})
	x.handleSessions(mux)
	return web.Sessions(x.app, &web.Options{Error: refuse})(mux)
}

// add counts a change.
func (x *site) add(ctx context.Context, state *stay.State[Register], op string) (*Register, error) {
	if !x.early || state != x.all {
		return state.Update(ctx, func(s *Register) error { s.add(op); return nil })
	}
	seen, ended := make(chan *Register, 1), make(chan error, 1)
	go func() {
		_, err := state.Update(context.WithoutCancel(ctx), func(s *Register) error {
			s.add(op)
			after := *s
			select {
			case seen <- &after:
			default: // it has run before
			}
			return nil
		})
		ended <- err
	}()
	select {
	case s := <-seen:
		return s, nil
	case err := <-ended:
		return nil, err
	}
}

// sessions are the IDs of a user's sessions, as the last changes of a register.
func (x *site) sessions(ctx context.Context, user string) (*Register, error) {
	r := &Register{Last: []string{}}
	for s, err := range x.app.Sessions(ctx, user) {
		if err != nil {
			return nil, err
		}
		r.Last = append(r.Last, s.ID())
	}
	return r, nil
}

// stored is a state that nobody has stored yet as one that is initial.
func stored[S any](s *S, err error) (*S, error) {
	if stay.CodeOf(err) == stay.ErrNotFound {
		return new(S), nil
	}
	return s, err
}

func (x *site) handleSessions(mux *http.ServeMux) {
	verb := func(path string, fn func(ctx context.Context, s *stay.Session, r *http.Request) error) {
		handle(mux, "POST "+path, func(ctx context.Context, r *http.Request) (*Register, error) {
			return &Register{}, fn(ctx, stay.SessionFrom(ctx), r)
		})
	}
	verb("/login", func(ctx context.Context, s *stay.Session, r *http.Request) error {
		return s.Login(ctx, r.FormValue("user"))
	})
	verb("/logout", func(ctx context.Context, s *stay.Session, _ *http.Request) error { return s.Logout(ctx) })
	verb("/revoke", func(ctx context.Context, _ *stay.Session, r *http.Request) error {
		return x.app.Revoke(ctx, r.FormValue("user"))
	})
	verb("/others", func(ctx context.Context, s *stay.Session, r *http.Request) error {
		mine := s.ID()
		if mine == "" {
			return stay.ErrUnavailable // or it has ended
		}
		for other, err := range x.app.Sessions(ctx, r.FormValue("user")) {
			if err != nil {
				return err
			}
			if other.ID() == mine {
				continue
			}
			// One that has left the user meanwhile counts as ended.
			if err := other.Destroy(ctx); err != nil && !errors.Is(err, stay.ErrEnded) {
				return err
			}
		}
		return nil
	})
}

// handle answers with what fn returns and who has asked.
func handle[S any](mux *http.ServeMux, pattern string, fn func(ctx context.Context, r *http.Request) (*S, error)) {
	mux.Handle(pattern, web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		s, err := fn(r.Context(), r)
		if err != nil {
			return err
		}
		session := stay.SessionFrom(r.Context())
		a := Answer{Session: session.ID(), User: session.User()}
		switch s := any(s).(type) {
		case *Register:
			a.Register = *s
		case *Keyed:
			a.Key, a.Register = s.Key, s.Register
		}
		w.Header().Set("Content-Type", "application/json")
		return json.NewEncoder(w).Encode(a)
	}))
}

// refuse says what class of error it is.
func refuse(w http.ResponseWriter, _ *http.Request, _ int, err error) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(Refusal{Code: string(stay.CodeOf(err)), Text: err.Error()})
}
