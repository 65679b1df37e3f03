package stay

import (
	"context"
	"log/slog"
	"maps"
	"slices"
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

// A presenceRecord says who has pages of one state open on the nodes that follow
// it; nil if there is none. There is one for each such state, and not one for each
// node of it: so it is found without a list, which not all stores have.
type presenceRecord struct {
	Nodes map[string]nodePresence `json:"nodes"`
}

// A nodePresence is the part of one node. It does not change.
type nodePresence struct {
	Until    int64     `json:"until"` // in Unix milliseconds
	Visitors []visitor `json:"visitors"`
}

// A visitor is a presence.Count.
type visitor struct {
	Session string `json:"session,omitempty"`
	User    []byte `json:"user,omitempty"` // bytes, as keys are
	Pages   int    `json:"pages"`
	Since   int64  `json:"since"` // in Unix milliseconds
}

func (v *visitor) size() int { return 96 + 2*len(v.Session) + 2*len(v.User) }

func (r *presenceRecord) clone() *presenceRecord { //nolint:unused // systemType calls it by its constraint
	if r == nil {
		return nil
	}
	return &presenceRecord{Nodes: maps.Clone(r.Nodes)}
}

func (r *presenceRecord) memory() int {
	if r == nil {
		return 0
	}
	n := 0
	for node := range r.Nodes {
		n += 128 + len(node)
		for _, v := range r.Nodes[node].Visitors {
			n += v.size()
		}
	}
	return n
}

// until is when all of the record is over.
func (r *presenceRecord) until() (t time.Time) {
	for _, n := range r.Nodes {
		if end := time.UnixMilli(n.Until); end.After(t) {
			t = end
		}
	}
	return t
}

// others returns what nodes other than the given one say, as of now.
func (r *presenceRecord) others(node string, now time.Time) (all []presence.Count) {
	if r == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(r.Nodes)) {
		n := r.Nodes[name]
		if name == node || !time.UnixMilli(n.Until).After(now) {
			continue
		}
		var counts []presence.Count
		for _, v := range n.Visitors {
			counts = append(counts, presence.Count{
				Visitor: presence.Visitor{Session: v.Session, User: string(v.User)}, Pages: v.Pages, Since: time.UnixMilli(v.Since),
			})
		}
		all = presence.Sum(counts, all)
	}
	return all
}

// next is when the first part of nodes other than the given one is over, after now;
// zero = there is none.
func (r *presenceRecord) next(node string, now time.Time) (t time.Time) {
	if r == nil {
		return t
	}
	for name, n := range r.Nodes {
		if name != node {
			t = earliest(now, t, time.UnixMilli(n.Until))
		}
	}
	return t
}

// with returns the record with the part of one node, which is good until a time, nil
// if nothing is left.
func (r *presenceRecord) with(node string, counts []presence.Count, now, until time.Time) *presenceRecord {
	out := &presenceRecord{Nodes: map[string]nodePresence{}}
	if r != nil {
		for name, n := range r.Nodes {
			if name != node && time.UnixMilli(n.Until).After(now) {
				out.Nodes[name] = n
			}
		}
	}
	if len(counts) > 0 {
		n := nodePresence{Until: until.UnixMilli()}
		for _, c := range counts {
			n.Visitors = append(n.Visitors, visitor{c.Session, []byte(c.User), c.Pages, c.Since.UnixMilli()})
		}
		out.Nodes[node] = n
	}
	if len(out.Nodes) == 0 {
		return nil
	}
	return out
}
