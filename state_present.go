package stay

import (
	"context"
	"errors"
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
	var ref engine.Ref
	if err := c.resolve(resolving, &ref, nil); err != nil {
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
