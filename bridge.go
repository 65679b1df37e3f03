package stay

import (
	"context"
	"log/slog"
	"reflect"
	"time"

	"github.com/stay-go/stay/internal/bridge"
)

// Package web reaches what is not exported through these two functions.
func init() { //nolint:gochecknoinits // the one place that fills in the bridge
	bridge.AppOf = func(app any) bridge.App { return appBridge{app.(*App)} }
	bridge.StateOf = func(state any) bridge.State { return stateBridge{state.(AnyState).untyped()} }
	bridge.Define = func(app any, d bridge.Definition) bridge.State { return stateBridge{define(app.(*App), d)} }
}

// define registers a module whose type is known at run time only.
func define(app *App, d bridge.Definition) core {
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
	return core{module: app.register(def)}
}

type appBridge struct{ *App }

func (a appBridge) Keyring(keys [][]byte) bridge.Keyring { return newKeyring(a.App, keys) }

func (a appBridge) Begin(ctx context.Context, ring bridge.Keyring, token string, c bridge.Carrier) context.Context {
	r := &struct { // one allocation for all
		context sessionContext
		session secretSession
	}{session: secretSession{session: Session{app: a.App, ring: ring, carrier: c}, secrets: secrets{token: token}}}
	r.context = sessionContext{ctx, r.session.join()}
	return &r.context
}

func (a appBridge) ResetsOnPageLoad() bool { return len(a.pageResets.all()) > 0 }

func (a appBridge) PageLoad(ctx context.Context) error { return a.pageLoad(ctx) }

func (a appBridge) Evict(always bool) { a.engine.EvictAll(always) }

func (a appBridge) Sweep() {
	done := make(chan struct{})
	if !a.engine.Go(func(ctx context.Context) {
		defer close(done)
		a.keys.sweep(ctx)
		a.sweepOnce(ctx)
	}) {
		return
	}
	<-done
}

func (a appBridge) NameOf(session any) string { return session.(*Session).name() }

func (a appBridge) Logger() *slog.Logger { return a.logger() }
func (a appBridge) Development() bool    { return a.opts.Development }
func (a appBridge) Now() time.Time       { return a.opts.Clock() }

type stateBridge struct{ core }

func (s stateBridge) Name() string { return s.module.name }

func (s stateBridge) Get(ctx context.Context) (any, error) { return s.get(ctx) }

func (s stateBridge) Update(ctx context.Context, c bridge.Change) (any, error) {
	o := s.module.app.newOp()
	o.ctx, o.change = ctx, c
	v, err := s.update(ctx, o)
	return s.module.app.finish(o, v, err)
}

func (s stateBridge) Do(ctx context.Context, action string, payload any) (any, error) {
	return s.do(ctx, action, payload)
}

func (s stateBridge) Actions() []string { return s.module.actionNames() }

func (s stateBridge) Public(v any) ([]byte, error) {
	b, err := s.module.schema.Encode(v, nil)
	if err != nil {
		return nil, err
	}
	return s.module.schema.Public(b, nil)
}

func (s stateBridge) Version() int { return s.module.version }

func (s stateBridge) Decode(version int, value []byte) (any, error) {
	v, _, err := s.module.decode(version, value)
	return v, err
}
