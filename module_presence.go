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

// callVisitHook calls a hook of pages. What cannot be loaded has been reported.
func (m *module) callVisitHook(ctx context.Context, at presence.Place, v presence.Visitor, event presence.Event) {
	hook, phase := m.visits.hook(event)
	if hook == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, visitHookTime)
	defer cancel()
	ref := engine.Ref{Kind: at.Kind, Key: at.Key, Now: m.app.opts.Clock()}
	if err := m.app.sync(ctx, ref); err != nil {
		return
	}
	state, err := m.app.engine.Get(ctx, &ref)
	if err != nil {
		return
	}
	session, err := m.app.visitor(ctx, v)
	if err != nil {
		return
	}
	call := m.app.newCall(ctx, m.name, "")
	call.ctx, call.session = ctx, session // outside of changes, so it may make some
	m.isolate(call, phase, at.Key, state.Value, hook)
}
