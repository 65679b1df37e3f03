package stay

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stay-go/stay/internal/engine"
)

// setUser attaches the session to a user, or detaches it.
func (ss *sessions) setUser(ctx context.Context, s bearer, user string, terms loginTerms) error {
	var retry engine.Retry
	for {
		again, err := ss.trySetUser(ctx, s, user, terms)
		if !again || err != nil {
			var ee *engine.Error
			if errors.As(err, &ee) {
				err = ss.error(err, s.name())
			}
			return err
		}
		if err := ss.app.engine.Pause(ctx, &retry); err != nil {
			return ss.error(err, s.name())
		}
	}
}

func (ss *sessions) trySetUser(ctx context.Context, s bearer, user string, terms loginTerms) (again bool, err error) {
	l := &login{ss: ss, user: user, terms: terms}
	defer func() {
		if p := recover(); p != nil && l.asking != nil {
			l.asking.panicked(ctx, "", "run", l.asked, p)
		} else if p != nil {
			panic(p)
		}
	}()
	now := ss.app.opts.Clock()
	if done, err := l.prepare(ctx, s, now); done || err != nil {
		return false, err
	}
	for _, m := range ss.app.keyedModules() {
		if m.guestWaits(l.record()) {
			return true, ss.takeAlong(ctx, s, m)
		}
	}
	refs, err := l.parts(ctx, now)
	if err != nil {
		return false, err
	}
	_, again, err = ss.app.engine.UpdateGroup(ctx, refs, l)
	if again || err != nil {
		return again, err
	}
	ss.moved(ctx, s, &l.seen, l.rec)
	for _, c := range l.moves {
		if c.tooLarge {
			c.m.reportTooLarge(c.to, "")
		}
	}
	return false, nil
}

// prepare resolves the session for a login; done means that there is nothing
// to do.
func (l *login) prepare(ctx context.Context, s bearer, now time.Time) (done bool, err error) {
	s.lock()
	defer s.unlock()
	s.use()
	if l.user == "" && s.neverStored(ctx) {
		return true, nil
	}
	if err := s.sync(ctx, nil, now); err != nil {
		return false, err
	}
	is, _, err := s.current(ctx, now)
	if errors.Is(err, ErrEnded) && l.user != "" {
		joined, err2 := s.join(ctx, l.user, now)
		if joined || err2 != nil {
			return true, err2
		}
		if s.anew(now) {
			is, _, err = s.current(ctx, now)
		}
	}
	if err != nil {
		return false, err
	}
	if l.user == "" && is.record().user() == "" {
		return true, nil
	}
	if l.terms.lasts != 0 {
		if err := s.outlast(ctx, l.terms.lasts); err != nil {
			return false, err
		}
	}
	if is.anew || !l.ss.app.opts.KeepCookieOnKeyChange {
		if err := s.takesCookie(l.user == ""); err != nil {
			return false, err
		}
	}
	s.changes()
	is.counted = nil
	l.seen = is
	return false, nil
}

// A login is a change of the session's user. It moves every module whose key
// follows from the session at once: see move for the order of the parts.
type login struct {
	ss *sessions
	seen
	user  string
	terms loginTerms
	rec   *sessionRecord // as it will be

	asking *module // module whose Adopt or key function is running, for reports
	asked  string  // key of its state

	moves    []*guestMove
	dropped  []int    // indexes among the parts of the guests that are dropped with their user
	foreign  []string // modules of other programs that have a waiting guest
	old, new int      // indexes of the users' records; -1 = no part
	own      int
}

// A guestMove is the part of a login for one module whose guest has a state to
// adopt.
type guestMove struct {
	m      *module
	to     string // the key
	seen   bool   // the guest had a state when parts returned
	target int    // -1: no part, since the guest had no state
	guest  int
	// tooLarge: both states together exceed MaxState. Then the guest's state is
	// not adopted: an attacker who plants the cookie of a guest with a large state
	// must not keep the user out.
	tooLarge bool
}

// parts returns the instances that take part.
func (l *login) parts(ctx context.Context, now time.Time) ([]engine.Ref, error) {
	app, before := l.ss.app, l.record()
	var refs, left []engine.Ref
	part := func(ref engine.Ref) int {
		ref.Now = now
		refs = append(refs, ref)
		return len(refs) - 1
	}
	after := before.clone()
	if after == nil {
		after = l.begun(l.ss, now)
	}
	after.event().User = []byte(l.user)
	var modules []*module
	if before.user() != l.user {
		modules = app.keyedModules()
	}
	for _, m := range modules {
		l.asking = m
		from := m.locate(l.session, before)
		if from.attached && !m.key.calls {
			// The key owns the state, not the user. If the key has lost its state, the
			// session has a guest.
			from = m.detached(l.session, before)
		}
		to := ""
		if m.bySession() {
			to = m.sessionKey(l.session, after)
		}
		switch {
		case len(to) > maxKey:
			return nil, m.longKey(to)
		case from.key != "":
			if from.key != to { // the key's state stays; the next state is stored or initial
				left = append(left, engine.Ref{Kind: from.kind, Key: from.id})
			}
			continue
		case before.user() != "":
			// A state that cannot be read is not adopted, is out of reach, and does not
			// prevent a logout. A guest without a state takes part, too: a change may be
			// about to create it.
			switch _, err := app.engine.Get(ctx, l.guestRef(from, now)); {
			case err == nil:
				l.dropped = append(l.dropped, part(*l.guestRef(from, now)))
			case !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrInternal):
				return nil, m.error(err, "", from.id)
			}
			continue
		case to == "":
			continue // the guest's state becomes the user's
		}
		guest, err := app.engine.Get(ctx, l.guestRef(from, now))
		if errors.Is(err, ErrCorrupt) {
			continue // it stays stored for repair, and does not prevent a login
		}
		if err != nil {
			return nil, m.error(err, "", from.id)
		}
		if guest.Exists() {
			// A user's state that cannot be read does not prevent a login either: the
			// guest's is not adopted, and readers of the module get the error.
			_, err := app.engine.Get(ctx, &engine.Ref{Kind: m.kind, Key: to, Now: now})
			if errors.Is(err, ErrCorrupt) {
				continue
			}
			if err != nil {
				return nil, m.error(err, "", to)
			}
		}
		l.moves = append(l.moves, &guestMove{
			m: m, to: to, seen: guest.Exists(), target: -1, guest: part(*l.guestRef(from, now)),
		})
	}
	if before.user() == "" {
		if err := l.leaveToOthers(ctx); err != nil {
			return nil, err
		}
	}
	if err := app.engine.Flush(ctx, left...); err != nil {
		return nil, err
	}
	for _, c := range l.moves {
		if c.seen {
			c.target = part(engine.Ref{Kind: c.m.kind, Key: c.to})
		}
	}
	l.old, l.new = -1, -1
	users := []string{before.user(), l.user}
	slices.Sort(users)
	for _, user := range slices.Compact(users) {
		if user == "" {
			continue
		}
		i := part(engine.Ref{Kind: l.ss.users, Key: user})
		if user == l.user {
			l.new = i
		} else {
			l.old = i
		}
	}
	l.own = part(engine.Ref{Kind: l.ss.kind, Key: l.session})
	return refs, nil
}

// leaveToOthers finds the modules that other programs on the store register and
// this one does not: the guest's states of those modules wait for those
// programs.
func (l *login) leaveToOthers(ctx context.Context) error {
	c := l.ss.app.catalog
	list, err := c.read(ctx)
	if err != nil && !errors.Is(err, ErrCorrupt) { // the sweep reports a corrupt list
		return err
	}
	l.foreign = nil
	for _, m := range l.ss.app.foreign(list) {
		if m.byUser {
			l.foreign = append(l.foreign, m.name)
			c.say("stay: this program does not register the module, so a login leaves its guest state to a program that does", m.name)
		}
	}
	return nil
}

func (l *login) guestRef(t target, now time.Time) *engine.Ref {
	return &engine.Ref{Kind: t.kind, Key: t.id, Now: now, New: l.version.Revision == 0, Expires: l.ss.keepsUntil(l.created, l.record()), Last: true}
}

// Run implements engine.GroupOp.
func (l *login) Run(now []*engine.Version, _ engine.Birth) ([]engine.Result, error) {
	if now[l.own].Revision != l.version.Revision || l.revoked(now) {
		return nil, engine.ErrRestart
	}
	clock := l.ss.app.opts.Clock()
	out := make([]engine.Result, len(now))
	rec, err := l.ss.moving(&l.seen, clock)
	if err != nil {
		return nil, err
	}
	if l.old >= 0 {
		if u := now[l.old].Value.(*userRecord).clone(); u != nil {
			u.unlist(l.session, clock)
			out[l.old] = engine.Result{Value: u}
		}
	}
	e := rec.event()
	if string(e.User) != l.user {
		e.Logins++
		if len(e.User) > 0 {
			e.Left++
		}
	}
	for _, module := range l.foreign {
		rec.wait(module, l.user)
	}
	l.begin(rec, clock)
	e.Epoch = 0
	if l.new >= 0 {
		u := now[l.new].Value.(*userRecord).clone()
		if u == nil {
			u = &userRecord{Epoch: newEpoch(0)}
		}
		ends := time.UnixMilli(rec.Created).Add(l.ss.app.opts.Lifetime)
		if e.Until != 0 {
			ends = rec.ends()
		}
		u.list(l.session, ends, clock)
		e.Epoch, e.Login = u.Epoch, rec.Gen
		out[l.new] = engine.Result{Value: u}
	}
	for _, c := range l.moves {
		guest := now[c.guest]
		if !c.seen {
			if guest.Revision != 0 {
				return nil, engine.ErrRestart // it has begun to have a state
			}
			continue
		}
		if guest.Revision == 0 {
			continue // deleted meanwhile
		}
		l.asking, l.asked = c.m, c.to
		if out[c.target], c.tooLarge, err = c.m.bring(guest, now[c.target]); err != nil {
			return nil, err
		}
		if !c.tooLarge {
			out[c.guest] = engine.Result{Delete: true}
		}
	}
	for _, i := range l.dropped {
		if now[i].Exists() {
			out[i] = engine.Result{Delete: true}
		}
	}
	l.rec, out[l.own] = rec, engine.Result{Value: rec}
	return out, nil
}

// begin notes in the session's record who is logged in, and until when.
func (l *login) begin(rec *sessionRecord, now time.Time) {
	terms, opts := l.terms, &l.ss.app.opts
	lives := time.UnixMilli(rec.Created).Add(opts.Lifetime).After(now)
	if !lives && terms.lasts == 0 {
		terms.lasts = opts.IdleTimeout // only the previous login has kept the session alive
	}
	rec.login(l.user, terms, now)
	l.ss.slide(rec, now)
	if rec.Gen == l.gen { // the old cookie stays valid
		rec.Expires = max(rec.Expires, l.idleEnd.UnixMilli())
	}
	if !lives { // a session that is logged out goes on until the response is sent
		rec.Expires = max(rec.Expires, now.Add(grace).UnixMilli())
	}
}

// revoked reports whether the session's user has revoked it: the session's own
// record does not say that.
func (l *login) revoked(now []*engine.Version) bool {
	rec, i := l.record(), l.old
	if rec.user() == "" {
		return false
	}
	if i < 0 {
		i = l.new // the same user again
	}
	return revoked(rec, now[i])
}

// Committed implements engine.GroupOp.
func (l *login) Committed(context.Context) {}
