package model_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
)

// A Page is the state of modules whose owner does not follow from it.
type Page struct {
	Items []string `json:"items"`
	Kept  []string `json:"kept" stay:"preserve"`
}

// A Doc says whose it is.
type Doc struct {
	Owner string   `json:"owner" stay:"key"`
	Items []string `json:"items"`
	Kept  []string `json:"kept" stay:"preserve"`
}

// A value is what both have. It is never changed in place.
type value struct {
	owner       string
	items, kept []string
}

func (v value) String() string {
	return v.owner + "[" + strings.Join(v.items, " ") + "|" + strings.Join(v.kept, " ") + "]"
}

func (v value) same(w value) bool {
	return v.owner == w.owner && slices.Equal(v.items, w.items) && slices.Equal(v.kept, w.kept)
}

// with is the value with one more item.
func (v value) with(item string) value {
	v.items = append(slices.Clip(v.items), item)
	return v
}

func (v value) keeping(item string) value {
	v.kept = append(slices.Clip(v.kept), item)
	return v
}

func (p *Page) view() value { return value{"", p.Items, p.Kept} }

func (p *Page) put(v value) { p.Items, p.Kept = slices.Clone(v.items), slices.Clone(v.kept) }

func (d *Doc) view() value { return value{d.Owner, d.Items, d.Kept} }

func (d *Doc) put(v value) {
	d.Owner, d.Items, d.Kept = v.owner, slices.Clone(v.items), slices.Clone(v.kept)
}

// A scope is a Strategy; ResolveKey is two, for states with key fields and
// without.
type scope int

const (
	ephemeral scope = iota
	perSession
	perUser
	global
	withKey
	byUser  // ResolveKey that follows from the session's user
	byState // ResolveKey that follows from the state as well
)

// A policy is what Adopt does.
type policy int

const (
	keepStored policy = iota
	keepGuest
	merge
	picky // merges, but refuses what begins with "no"
)

// A spec is a module as the model knows it.
type spec struct {
	name      string
	scope     scope
	initial   value
	adopt     policy
	expiry    time.Duration
	hook      bool // OnExpire
	pageReset bool
	debounce  bool
	side      bool // in a store of its own
	// key is that of a state that has this owner, in a session of this user.
	key func(user, owner string) string
}

// guests reports whether sessions are guests of the module before a key.
func (sp *spec) guests() bool {
	return sp.scope == perUser || sp.scope == withKey || sp.scope == byUser || sp.scope == byState
}

// keyed reports whether At and Keys name the states by their owner.
func (sp *spec) keyed() bool { return sp.guests() }

func (sp *spec) doc() bool { return sp.scope == withKey || sp.scope == byState }

func owner(_, owner string) string { return owner }

func team(user, _ string) string {
	team, _, _ := strings.Cut(user, "/")
	if team == user {
		return ""
	}
	return team
}

func desk(user, owner string) string {
	if owner == "" {
		return ""
	}
	return user + ":" + owner
}

// specs are all modules, each for what no other has.
func specs() []*spec {
	return []*spec{
		{name: "panel", scope: ephemeral},
		{name: "theme", scope: perSession, pageReset: true},
		{name: "brief", scope: perSession, expiry: 2 * time.Hour, hook: true},
		{name: "mine", scope: perSession, hook: true},
		{name: "draft", scope: perSession, debounce: true},
		{name: "cart", scope: perUser, adopt: merge},
		{name: "notes", scope: perUser, hook: true},
		{name: "wish", scope: perUser, adopt: keepGuest, expiry: 3 * time.Hour, hook: true},
		{name: "picky", scope: perUser, adopt: picky, pageReset: true},
		{name: "news", scope: global, expiry: 5 * time.Hour, hook: true},
		{name: "total", scope: global},
		{name: "list", scope: withKey, adopt: merge, pageReset: true, key: owner},
		{name: "doc", scope: withKey, expiry: 4 * time.Hour, hook: true, key: owner},
		{name: "pad", scope: withKey, adopt: merge, debounce: true, key: owner},
		{name: "board", scope: byUser, adopt: merge, key: team},
		{name: "room", scope: byState, initial: value{owner: "lobby"}, key: owner},
		{name: "desk", scope: byState, adopt: merge, key: desk},
		{name: "side", scope: perSession, side: true, hook: true},
		{name: "hall", scope: global, side: true},
	}
}

var errPicky = errors.New("picky")

// into is what Adopt makes of a stored value and a guest's.
func (a policy) into(stored, guest value) (value, error) {
	switch a {
	case keepGuest:
		guest.owner = stored.owner
		return guest, nil
	case picky:
		if slices.ContainsFunc(guest.items, func(item string) bool { return strings.HasPrefix(item, "no") }) {
			return stored, errPicky
		}
		fallthrough
	case merge:
		stored.items = slices.Concat(stored.items, guest.items)
		stored.kept = slices.Concat(stored.kept, guest.kept)
	}
	return stored, nil
}

// A handle is a registered module without its type. at is the key for At, ""
// for the state that the context has.
type handle struct {
	get    func(ctx context.Context, at string) (value, error)
	update func(ctx context.Context, at string, fn func(value) (value, error)) (value, error)
	do     func(ctx context.Context, at, action, item string) (value, error)
	reset  func(ctx context.Context, at string, all bool) (value, error)
	del    func(ctx context.Context, at string) error
	keys   func(ctx context.Context) iter.Seq2[string, error]
}

// shape is what Page and Doc have in common.
type shape[S any] interface {
	*S
	view() value
	put(v value)
}

type payload struct {
	Item string `json:"item"`
}

// register registers the module. told is told of what expires, and nil where
// the process has no such hook.
func register[S any, P shape[S]](app *stay.App, sp *spec, own store.Store, told func(value)) *handle {
	m := stay.Module[S]{
		Name: sp.name, Expiry: sp.expiry, ResetOnPageLoad: sp.pageReset, Store: own,
		Actions: stay.Actions[S]{"add": stay.WithPayload(func(_ *stay.Call, s *S, in payload) error {
			P(s).put(P(s).view().with(in.Item))
			return nil
		})},
	}
	P(&m.Initial).put(sp.initial)
	if sp.debounce {
		m.Debounce = 24 * time.Hour // real time: it is stored when something asks for it
	}
	if told != nil {
		m.OnExpire = func(_ *stay.Call, s *S) { told(P(s).view()) }
	}
	switch sp.scope {
	case perSession:
		m.Persist = stay.PerSession
	case perUser:
		m.Persist = stay.PerUser
	case global:
		m.Persist = stay.Global
	case withKey:
		m.Persist = stay.WithKey(func(s *S) string { return sp.key("", P(s).view().owner) })
	case byUser, byState:
		m.Persist = stay.ResolveKey(func(c *stay.Call, s *S) string { return sp.key(c.Session().User(), P(s).view().owner) })
	}
	switch {
	case sp.adopt == keepGuest:
		m.Adopt = stay.KeepGuest
	case sp.adopt != keepStored:
		m.Adopt = func(stored, guest *S) error {
			v, err := sp.adopt.into(P(stored).view(), P(guest).view())
			P(stored).put(v)
			return err
		}
	}
	return makeHandle[S, P](stay.Register(app, m))
}

func makeHandle[S any, P shape[S]](state *stay.State[S]) *handle {
	at := func(key string) *stay.State[S] {
		if key == "" {
			return state
		}
		return state.At(key)
	}
	seen := func(s *S, err error) (value, error) {
		if err != nil {
			return value{}, err
		}
		return P(s).view(), nil
	}
	return &handle{
		get: func(ctx context.Context, key string) (value, error) { return seen(at(key).Get(ctx)) },
		update: func(ctx context.Context, key string, fn func(value) (value, error)) (value, error) {
			return seen(at(key).Update(ctx, func(s *S) error {
				v, err := fn(P(s).view())
				P(s).put(v) // also what is dropped
				return err
			}))
		},
		do: func(ctx context.Context, key, action, item string) (value, error) {
			return seen(at(key).Do(ctx, action, payload{item}))
		},
		reset: func(ctx context.Context, key string, all bool) (value, error) {
			if all {
				return seen(at(key).ResetAll(ctx))
			}
			return seen(at(key).Reset(ctx))
		},
		del:  func(ctx context.Context, key string) error { return at(key).Delete(ctx) },
		keys: func(ctx context.Context) iter.Seq2[string, error] { return state.Keys(ctx) },
	}
}
