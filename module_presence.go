package stay

import (
	"context"
	"log/slog"
	"time"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/presence"
)

// visitHookTime is when the context of a hook of pages ends: few run at once, and
// one that waits for ever would hold up the others.
const visitHookTime = time.Minute

// visitHooks are the hooks of pages.
type visitHooks struct{ connected, reconnected, disconnected func(*Call, any) }

// hook returns the hook for an event, and its name; nil if there is none.
func (h *visitHooks) hook(event presence.Event) (hook func(*Call, any), phase string) {
	switch {
	case event == presence.Disconnect:
		return h.disconnected, "onDisconnect"
	case event == presence.Reconnect && h.reconnected != nil:
		return h.reconnected, "onReconnect"
	}
	return h.connected, "onConnect"
}

// countPages has the pages that follow the module's states count, if anybody wants
// to know.
func (m *module) countPages() {
	hooks := m.visits.connected != nil || m.visits.reconnected != nil || m.visits.disconnected != nil
	if !m.presence && !hooks {
		return
	}
	m.rules = &presence.Rules{Shown: m.presence, Remembers: m.visits.reconnected != nil}
	if hooks {
		m.rules.Hook = m.callVisitHook
	}
}

// pagesChanged is told of changes by the table of pages.
func (a *registry) pagesChanged(at presence.Place) {
	a.engine.Nudge(at.Kind, at.Key)
	a.told(at)
}

func (a *registry) pagesCrowded(at presence.Place) {
	if m := a.moduleOf(at.Kind); m != nil && !m.crowded.Swap(true) {
		a.logger().Warn("stay: more sessions have pages of one state open than are told apart: further ones are a number, and have no hooks",
			slog.String("module", m.name), slog.String("key_hash", keyHash(at.Key)), slog.Int("sessions", presence.MaxSessions))
	}
}

// callVisitHook calls a hook of pages. If the state or its session cannot be read,
// which may pass, it is called later; after the last try OnError is told that it
// was not called.
func (m *module) callVisitHook(ctx context.Context, at presence.Place, v presence.Visitor, event presence.Event, last bool) presence.Outcome {
	hook, phase := m.visits.hook(event)
	if hook == nil {
		return presence.Called
	}
	ctx, cancel := context.WithTimeout(ctx, visitHookTime)
	defer cancel()
	state, session, err := m.visited(ctx, at, v)
	switch code := CodeOf(err); {
	case err == nil:
	case m.app.engine.Closing():
		return presence.Missed // as at any end of the process
	case !last && (code == ErrUnavailable || code == ErrBusy || code == ErrUnknown):
		return presence.Again
	default:
		m.app.report(m.onError, m.app.newCall(ctx, m.name, ""), &Error{
			Code: code, Module: m.name, Phase: phase, KeyHash: keyHash(at.Key),
			Message: "the hook was not called, because the state or the session of the page cannot be read", Err: err,
		})
		return presence.Missed
	}
	call := m.app.newCall(ctx, m.name, "")
	call.ctx, call.session = ctx, session // outside of changes, so it may make some
	m.isolate(call, phase, at.Key, state, hook)
	return presence.Called
}

// visited returns the state and the session for a hook of pages.
func (m *module) visited(ctx context.Context, at presence.Place, v presence.Visitor) (state any, session *Session, err error) {
	ref := engine.Ref{Kind: at.Kind, Key: at.Key, Now: m.app.opts.Clock()}
	if err := m.app.sync(ctx, ref); err != nil {
		return nil, nil, m.error(err, "", at.Key)
	}
	is, err := m.app.engine.Get(ctx, &ref)
	if err != nil {
		return nil, nil, m.error(err, "", at.Key)
	}
	session, err = m.app.visitor(ctx, v)
	return is.Value, session, err
}
