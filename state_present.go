package stay

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/presence"
)

// A Presence is a session that has pages open which follow a state.
type Presence struct {
	// Session is [Session.ID]. "" stands for all pages without a session, and for
	// those of sessions beyond the first 1000.
	Session string
	// User is who was logged in when the latest page was opened; "" for a guest.
	User string
	// Pages is how many there are. A page that has gone counts for ten seconds
	// more, unless another of the session takes its place.
	Pages int
	// Since is when the first of them was opened.
	Since time.Time
}

// Present returns the sessions that have pages open which follow the state: with a
// stream of web.Live or web.Actions, or in a loop of [State.Watch] with the context
// of a request behind web.Sessions. They are in the order in which they came, at
// most 1000; what is beyond that, and pages that have no session, is a number: the
// last one, without a Session. It is ErrInvalid if Module.Presence is not set.
//
// A part of a page may call Present in the function that renders it, for the state
// that it shows: when somebody comes or goes, the part is rendered again, within a
// tenth of a second or, with thousands of pages, a second or two. State.Watch yields
// the state again.
//
// On a store with other owners the pages of other nodes are among them, as of a
// second ago or, when the store is slow, ten. Those of a node that was closed are for
// ten seconds, and those of one that has died for up to thirty. That needs clocks
// which agree to a few seconds.
func (s *State[S]) Present(ctx context.Context) ([]Presence, error) { return s.present(ctx) }

var errNotCounted = errors.New("who has pages open is not counted: set Module.Presence")

func (c untyped) present(ctx context.Context) ([]Presence, error) {
	m := c.module
	switch {
	case !m.presence:
		return nil, &Error{Code: ErrInvalid, Module: m.name, Phase: "resolve", Message: "the module does not count who is present", Err: errNotCounted}
	case c.app.engine.Closing():
		return nil, closedError(m.name, "resolve", nil)
	}
	resolving := ctx
	if c.shared() { // where the state is needs no store
		resolving = context.WithValue(ctx, remembered{}, true)
	}
	ref, err := c.resolve(resolving, nil)
	if err != nil {
		return nil, err
	}
	at := presence.Place{Kind: ref.Kind, Key: ref.Key}
	others, err := c.app.leases.elsewhere(ctx, at)
	if err != nil {
		return nil, m.error(err, "", at.Key)
	}
	counts := presence.Sum(m.app.pages.Show(at), others)
	all := make([]Presence, len(counts))
	for i, n := range counts {
		all[i] = Presence{Session: n.Session, User: n.User, Pages: n.Pages, Since: n.Since}
	}
	return all, nil
}

// count counts the follower as a page of the session with which it follows a state.
// A state of everybody does not say which session that is, and another one of the
// same page may.
func (f *follower) count(s *followed, ref engine.Ref, r *resolution) {
	counts := s.module.rules != nil
	if !counts && !slices.ContainsFunc(f.followed, (*followed).counted) || !f.known(r) {
		return
	}
	if counts {
		f.appear(s, presence.Place{Kind: ref.Kind, Key: ref.Key})
	}
	for _, s := range f.followed {
		if s.counted() {
			f.appear(s, s.where)
		}
	}
}

func (s *followed) counted() bool { return s.page != nil }

// appear counts the page at a place, instead of where it was before.
func (f *follower) appear(s *followed, at presence.Place) {
	before, moved := s.page, s.where != at
	switch {
	case before != nil && !moved && s.visitor == *f.visitor:
		return
	case moved && !at.Kind.OwnKeys:
		at.Key = strings.Clone(at.Key)
	}
	s.visitor, s.where = *f.visitor, at
	s.page = f.app.pages.Enter(at, s.visitor, s.module.rules)
	if before != nil {
		f.app.pages.Leave(before, !moved)
	}
}

// known finds out whose page the follower is. It reports false if it is nobody's: a
// session of App.Sessions has none, and neither has a context without a session.
func (f *follower) known(r *resolution) bool {
	switch {
	case r.request != nil && r.keeps:
		return false
	case r.request != nil:
		f.visitor = &presence.Visitor{Session: r.session, User: r.record().user()}
	case f.visitor == nil:
		s := sessionOf(f.ctx, f.app.base)
		if s == nil {
			return false
		}
		request, ok := s.guise.(*visit)
		if !ok {
			return false
		}
		v, err := request.visitor(f.ctx)
		if err != nil {
			return false // the next look asks again
		}
		f.visitor = &v
	}
	return true
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
