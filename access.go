package stay

import (
	"context"
	"log/slog"
	"reflect"
	"time"

	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/streaming"
)

// Package web and other packages of this project reach the unexported parts
// through this door.
func init() { //nolint:gochecknoinits // the one place that provides the door
	access.Provide(access.Door{
		App:     func(app any) access.App { return appDoor{app.(*App)} },
		State:   func(state any) access.State { return stateDoor{state.(AnyState).bare()} },
		Define:  func(app any, d access.Definition) access.State { return stateDoor{define(app.(*App), d)} },
		Inspect: func(app any) access.Inspected { return inspectDoor{app.(*App)} },
	})
}

// define registers a module whose type is known only at run time.
func define(app *App, d access.Definition) untyped {
	def := definition{
		name: d.Name, initial: d.Initial, adopt: d.Adopt,
		actions: make(map[string]func(*Call, any) error, len(d.Actions)),
	}
	switch {
	case d.Key != nil:
		def.persist = &keyStrategy{
			typ: reflect.TypeOf(d.Initial).Elem(), name: "WithKey",
			key: func(_ *Call, v any) string { return d.Key(v) },
		}
	case d.Persist != nil:
		def.persist = d.Persist.(Strategy)
	}
	for name, action := range d.Actions {
		def.actions[name] = func(c *Call, v any) error { return action(c, v) }
	}
	if d.Created != nil {
		def.created = func(_ *Call, v any) error { return d.Created(v) }
	}
	if d.OnError != nil {
		def.onError = func(_ *Call, e *Error) { d.OnError(e) }
	}
	return untyped{app: app, module: app.register(def)}
}

type appDoor struct{ *App }

func (a appDoor) Keyring(keys [][]byte) access.Keyring { return a.keys.Ring(keys) }

func (a appDoor) Begin(ctx context.Context, ring access.Keyring, token string, c access.Carrier) context.Context {
	return newVisit(ctx, &a.sessions, ring, token, c)
}

func (a appDoor) Again(ctx context.Context) context.Context {
	return WithSession(ctx, sessionOf(ctx, a.base))
}

func (a appDoor) WithoutSession(ctx context.Context) context.Context {
	return context.WithValue(ctx, withoutSessionKey{}, a.base)
}

func (a appDoor) User(ctx context.Context) (string, error) {
	s := sessionOf(ctx, a.base)
	if s == nil {
		return "", &Error{Code: ErrNoSession, Phase: "resolve"}
	}
	return s.guise.(bearer).who(ctx)
}

func (a appDoor) SessionOf(ctx context.Context) (string, error) {
	s := sessionOf(ctx, a.base)
	if s == nil {
		return "", nil
	}
	request, ok := s.guise.(*visit)
	if !ok {
		return "", nil
	}
	v, err := request.visitor(ctx)
	return v.Session, err
}

func (a appDoor) ResetsOnPageLoad() bool { return len(a.pageResets.all()) > 0 }

func (a appDoor) PageLoad(ctx context.Context) error { return a.pageLoad(ctx) }

func (a appDoor) Evict(always bool) { a.engine.EvictAll(always) }

func (a appDoor) Sweep() {
	done := make(chan struct{})
	if !a.engine.Go(func(ctx context.Context) {
		defer close(done)
		a.sweepKeys(ctx)
		a.sweepOnce(ctx)
	}) {
		return
	}
	<-done
}

func (a appDoor) NameOf(session any) string { return session.(*Session).name() }

func (a appDoor) Follow(ctx context.Context, stream *streaming.Stream) access.Follower {
	f := a.follow(ctx)
	f.watch.Stream, f.watch.Unseen, f.watch.Paced = stream, stream == nil, true
	return followerDoor{f}
}

func (a appDoor) Asked(ctx context.Context) bool {
	s := sessionOf(ctx, a.base)
	if s == nil {
		return false
	}
	v, ok := s.guise.(*visit)
	if !ok {
		return false
	}
	v.lock()
	defer v.unlock()
	return v.opened
}

func (a appDoor) Ending() context.Context { return a.engine.Ending() }

func (a appDoor) Logger() *slog.Logger { return a.logger() }
func (a appDoor) Development() bool    { return a.opts.Development }
func (a appDoor) Now() time.Time       { return a.opts.Clock() }

type stateDoor struct{ untyped }

func (s stateDoor) Name() string { return s.module.name }

func (s stateDoor) Get(ctx context.Context) (any, error) { return s.get(ctx) }

func (s stateDoor) Update(ctx context.Context, c access.Change) (any, error) {
	o := s.module.app.newOp()
	o.ctx, o.change = ctx, c
	v, err := s.update(ctx, o)
	return s.module.app.finish(o, v, err)
}

func (s stateDoor) Do(ctx context.Context, action string, payload any) (any, error) {
	return s.do(ctx, action, payload)
}

func (s stateDoor) Actions() []string { return s.module.actionNames() }

func (s stateDoor) Public(v any) ([]byte, error) {
	b, err := s.module.schema.Encode(v, nil)
	if err != nil {
		return nil, err
	}
	return s.module.schema.Public(b, nil)
}

func (s stateDoor) Clone(v any) any { return s.module.schema.Clone(v) }

func (s stateDoor) At(key string) access.State {
	return stateDoor{untyped{app: s.app, module: s.module, key: &key, at: true}}
}

func (s stateDoor) Shared() bool { return s.shared() }

func (s stateDoor) Initial(ctx context.Context) (any, error) { return s.initial(ctx) }

func (s stateDoor) Version() int { return s.module.version }

func (s stateDoor) Decode(version int, value []byte) (any, error) {
	v, _, err := s.module.decode(version, value)
	return v, err
}

type followerDoor struct{ *follower }

func (f followerDoor) Look(s access.State) (access.Sight, error) {
	v, err := f.look(s.(stateDoor).untyped)
	if err != nil {
		return access.Sight{}, err
	}
	hash, bytes := v.is.content.Parts()
	return access.Sight{Value: v.value, Version: access.Version{
		Kind: v.is.kind, Key: v.is.key, Hash: hash, Bytes: bytes, Present: v.is.present,
	}}, nil
}

func (f followerDoor) Forget() { f.forget() }

func (f followerDoor) Attend() error { return f.attend() }

func (f followerDoor) Wake() <-chan struct{} { return f.watch.C }
func (f followerDoor) Poke()                 { f.watch.Poke() }
func (f followerDoor) Changed() bool         { return f.watch.Changed() }
func (f followerDoor) Take()                 { f.watch.Take() }

func (f followerDoor) Until() time.Time { return f.until() }

func (f followerDoor) Close() { f.close() }
