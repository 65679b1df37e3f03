package engine

import (
	"context"
	"errors"
	"slices"

	"github.com/stay-go/stay/store"
)

// A GroupOp changes several instances at once, all or none.
type GroupOp interface {
	// Run gets the committed version of each instance, which it must not
	// change, and returns the result for each: none if the instance must only
	// stay as it is, otherwise as [Op].Run does. A record that this group
	// creates gets the given birth. Run is called with all turns taken. After
	// [ErrRestart] the caller starts again.
	Run(now []*Version, birth Birth) ([]Result, error)
	// Committed is called as the Committed of [Op] is.
	Committed(ctx context.Context)
}

// ErrRestart, returned by a run, drops the run, and the change starts again.
var ErrRestart = &Error{Class: Conflict, Text: "the state was changed meanwhile"}

// A group is one change of several instances on its way. It takes their turns
// one after the other, in the given order, and no batch may be open; then no
// other change of this process can come in between. All groups must take turns
// in the same order of instances, and an Op takes only one, so nobody waits in
// a circle.
type group struct {
	request
	engine *Engine
	op     GroupOp
	lead   *member // of the caller
	parts  []part
	whose  []int // the part of each write
}

// A part is one instance of a group.
type part struct {
	ref  Ref
	in   *Instance
	w    *member // has the turn, once held is set
	held bool
	next *Version // nil = unchanged

	encoded []byte // of next
}

// UpdateGroup tries the change once and returns the version of each instance
// that it left. again means that it has to start again, with instances resolved
// again. The instances are distinct, and the stored ones have the same backend.
func (e *Engine) UpdateGroup(ctx context.Context, refs []Ref, op GroupOp) (left []*Version, again bool, err error) {
	if !e.Begin() {
		return nil, false, errClosed()
	}
	defer e.End()
	if err := ctx.Err(); err != nil {
		return nil, false, fail(Busy, "the caller's context is done", err)
	}
	g := &group{engine: e, op: op, parts: make([]part, len(refs))}
	defer g.release()
	for i := range refs {
		p := &g.parts[i]
		p.ref = refs[i]
		if p.in, err = e.acquireToChange(ctx, &p.ref); err != nil {
			return nil, false, err
		}
	}
	if again, err := g.enter(ctx); again || err != nil {
		return nil, again, err
	}
	g.by = e.node.nextWrite()
	left, again, err = g.run(Birth(g.by.Birth()))
	if again || err != nil {
		return nil, again, err
	}
	g.lead = e.newMember(ctx, g.op)
	if !g.stage() {
		e.free(g.lead)
		return nil, true, nil
	}
	g.commit()
	told, err := hear(ctx, g.lead)
	if err != nil {
		return nil, false, err
	}
	err = g.lead.err
	if g.lead.report {
		e.cfg.Report(g.main().kind, g.main().key, "save", err)
	}
	e.free(g.lead)
	switch told {
	case done:
		op.Committed(ctx)
		return left, false, nil
	case failed, unknown:
		return nil, false, err
	}
	return nil, true, nil
}

// main is the instance that the group is about, for reports.
func (g *group) main() *Instance { return g.parts[0].in }

// enter takes the turns. Unsaved changes are saved then, so the group finds
// every part as the store has it.
func (g *group) enter(ctx context.Context) (again bool, err error) {
	e := g.engine
	for i := range g.parts {
		p := &g.parts[i]
		p.w = e.newMember(ctx, nil)
		p.w.alone = true
		p.in.lock()
		told := p.in.m.enter(p.w)
		p.in.unlock()
		if told == queued {
			if told, err = e.await(p.in, p.w); err != nil {
				p.w = nil
				return false, err
			}
		}
		switch told {
		case granted:
			p.held = true
			if err := e.saveNow(ctx, p.in); err != nil {
				return false, err
			}
			p.in.lock()
			p.in.rebase()
			p.in.unlock()
			continue
		case busy:
			return false, fail(Busy, "too many changes wait for the same state", nil)
		default:
			return true, nil
		}
	}
	return false, nil
}

// release gives back what the group holds, if it ends before its commit or by a
// panic of its run.
func (g *group) release() {
	e := g.engine
	for i := range g.parts {
		p := &g.parts[i]
		if p.held {
			p.held = false
			e.finish(p.in, p.w, aborted, nil)
		}
		if p.w != nil && !p.w.grouped {
			e.free(p.w)
		}
		if p.in != nil {
			e.release(p.in)
		}
	}
}

// run calls the op's Run, and makes the new versions. It returns the versions
// that there will be.
func (g *group) run(birth Birth) (left []*Version, again bool, err error) {
	e := g.engine
	now := make([]*Version, len(g.parts))
	for i := range g.parts {
		now[i] = g.parts[i].in.m.committed // does not change: the turn is taken
	}
	if g.expired() {
		return nil, true, nil // the group is about another state
	}
	res, err := g.op.Run(now, birth)
	switch {
	case errors.Is(err, ErrRestart):
		return nil, true, nil
	case err != nil:
		return nil, false, err
	}
	left = make([]*Version, len(g.parts))
	for i := range g.parts {
		p := &g.parts[i]
		left[i] = now[i]
		switch {
		case res[i].None():
			continue
		case res[i].Delete:
			if now[i].Revision != 0 {
				p.next = now[i].deleted()
			}
		default:
			// A change of the key is one of the session, even if this state stays; and
			// what has made the other state must be known here from now on.
			force := now[i].Revision == 0 || res[i].Name.ID != 0 || res[i].From != nil && res[i].From.names().len() > 0
			_, how, next, encoded, err := e.next(p.in.kind, now[i], res[i], force)
			if err != nil {
				return nil, false, err
			}
			if how == changed {
				p.next, p.encoded = next, encoded
			}
		}
		if p.next != nil {
			left[i] = p.next
		}
	}
	return left, false, nil
}

// expired reports whether a state that the group is about has expired.
func (g *group) expired() bool {
	now := g.engine.cfg.Now()
	return slices.ContainsFunc(g.parts, func(p part) bool { return p.in.m.committed.expired(now) })
}

// stage puts every part at the store at once. If one of the instances is dead,
// it undoes everything and reports false.
func (g *group) stage() bool {
	e := g.engine
	for i := range g.parts {
		p := &g.parts[i]
		p.in.lock()
		ok := p.in.m.stage(p.w, p.next)
		p.in.unlock()
		p.held = false
		if ok {
			p.w.grouped = true
			continue
		}
		for j := range i {
			e.conclude(g.parts[j].in, rejected, nil)
		}
		return false
	}
	return true
}

// commit sends the group to the store.
func (g *group) commit() {
	e := g.engine
	changes := false
	for i := range g.parts {
		p := &g.parts[i]
		if p.in.kind.Backend == nil {
			e.stampInMemory(p.in, p.next, p.ref.Expires)
			continue
		}
		g.backend = p.in.kind.Backend
		base := p.in.m.committed
		w := store.Write{Op: store.Check, Key: p.in.kind.Prefix + p.in.key, Base: base.recordRevision()}
		if next := p.next; next != nil {
			changes = true
			if next.gone {
				e.removal(&w, base, g.by)
			} else {
				e.stamp(p.in, base, next, g.by, p.ref.Expires)
				w.Op, w.Version = store.Put, p.in.kind.Version
				w.Value, w.Meta, w.Expires = slices.Clip(p.encoded), encodeMeta(next, p.encoded, g.by), next.Expires()
			}
		}
		g.writes[0] = append(g.writes[0], w)
		g.whose = append(g.whose, i)
	}
	g.measure()
	e.hold()
	switch {
	case g.expired(): // while Run ran
		g.conclude(conflicted, nil)
	case changes:
		g.backend.send(g)
	default:
		g.conclude(applied, nil)
	}
}

// base implements change.
func (g *group) base(i int) *Version { return g.parts[g.whose[i]].in.m.committed }

// settle implements outgoing.
func (g *group) settle(res store.Result) {
	if res.Outcome == store.Applied {
		g.backend.works()
		g.number(res.Revisions)
		g.conclude(applied, nil)
		return
	}
	if how, cause, doubt := notApplied(g, res); doubt {
		sendAgain(g, res.Err)
	} else {
		g.conclude(how, cause)
	}
}

// number gives the new versions the revisions that the store has given them.
func (g *group) number(revs []store.Revision) {
	for i, rev := range revs {
		if next := g.parts[g.whose[i]].next; next != nil && !next.gone {
			next.Revision = rev
		}
	}
}

// conclude implements outgoing: it ends the group for every instance and
// answers its caller.
func (g *group) conclude(how conclusion, cause error) {
	e := g.engine
	defer e.End()
	for _, last := range []bool{false, true} {
		for i := range g.parts {
			if p := &g.parts[i]; p.ref.Last == last {
				e.conclude(p.in, p.conclusion(how), cause)
			}
		}
	}
	told := again
	switch how {
	case applied, vanished:
		told = done
	case rejected:
		told = failed
	case lost:
		told = unknown
	}
	if told == failed || told == unknown {
		g.lead.err, g.lead.report = cause, true
	}
	if !e.answer(g.lead, told) && cause != nil {
		in := g.main()
		e.Go(func(context.Context) { e.cfg.Report(in.kind, in.key, "save", cause) })
	}
}

// conclusion says what the outcome of a group means for one of its instances. A
// state without a store is only in memory, so its instance must not be
// discarded after an outcome that concerns only the store's part.
func (p *part) conclusion(how conclusion) conclusion {
	memory := p.in.kind.Backend == nil
	switch {
	case memory && (how == applied || how == vanished):
		if p.next != nil && !p.next.gone {
			p.next.Revision = p.in.m.committed.Revision + 1
		}
		how = applied
	case memory:
		return rejected
	}
	if how == applied && p.next != nil {
		return p.next.applied()
	}
	return how
}
