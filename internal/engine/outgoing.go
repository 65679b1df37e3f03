package engine

import (
	"context"
	"errors"
	"time"

	"github.com/stay-go/stay/internal/meta"
	"github.com/stay-go/stay/store"
)

// An outgoing is a group of writes that is sent to the store: a batch, a group
// or a save. It is sent again, unchanged, until the answer is definite.
type outgoing interface {
	// head returns the part that all kinds have.
	head() *request
	// settle is called with the store's answer each time it was sent.
	settle(res store.Result)
	// conclude ends it, once: its outcome is known, or will never be known.
	conclude(how conclusion, cause error)
}

// A change is an outgoing whose caller waits for the answer.
type change interface {
	outgoing
	// base is the version that a write replaces.
	base(i int) *Version
}

// A request is the part of an outgoing that all kinds have.
type request struct {
	backend *Backend
	lane    *lane // of the last sending
	by      meta.Writer
	patient bool // it may wait for the store without a limit
	queued  time.Time
	doubted time.Time // when its outcome was first unknown
	tries   int       // how often it was sent
	sent    int       // how often it was sent and may have been applied
	answers uint64    // of the store, when it was first sent or first in doubt
	bytes   int
	writes  [1]store.Group
	one     [1]store.Write // most often the group's array
}

func (r *request) head() *request { return r }

func (r *request) all() store.Group { return r.writes[0] }

// measure counts the bytes of all writes.
func (r *request) measure() {
	r.bytes = 0
	for i := range r.all() {
		r.bytes += len(r.all()[i].Value)
	}
}

// A conclusion is how an outgoing has ended. It is also the machine's event for
// the end of a batch.
type conclusion uint8

const (
	applied    conclusion = iota // the store has it
	vanished                     // it was applied, and the store has a later version by now
	conflicted                   // others were first
	rejected                     // the store has not taken it
	lost                         // nobody knows
)

// refuse ends an outgoing that will not be sent, or not again.
func refuse(o outgoing) {
	if o.head().sent > 0 {
		o.conclude(lost, errNoAnswer(store.ErrClosed))
		return
	}
	o.conclude(rejected, errClosed())
}

// sendAgain repeats a request with an unknown outcome, until the outcome is
// known or CommitTimeout is over.
func sendAgain(o outgoing, cause error) {
	r := o.head()
	if r.doubted.IsZero() {
		r.doubted, r.answers = time.Now(), r.lane.pulse.answers.Load()
	}
	if time.Since(r.doubted) < r.backend.commitTimeout {
		wait := time.Millisecond << min(r.sent, 8)
		if r.backend.start(func(ctx context.Context) {
			t := time.NewTimer(wait)
			defer t.Stop()
			select {
			case <-t.C:
				r.backend.send(o)
			case <-ctx.Done():
				o.conclude(lost, errNoAnswer(cause))
			}
		}) {
			return
		}
	} else {
		r.lane.silent(r.answers, cause)
	}
	o.conclude(lost, errNoAnswer(cause))
}

func errNoAnswer(cause error) error {
	return failAt(phaseSave, Unknown, "the store did not say whether the change was stored", cause)
}

var errReplaced = errors.New("the record was deleted, created again or changed by many others before the store was asked again")

// notApplied says what an answer other than Applied means for a change. doubt:
// the outcome is not known, so the change has to be sent again.
func notApplied(c change, res store.Result) (how conclusion, cause error, doubt bool) {
	r := c.head()
	switch res.Outcome {
	case store.Conflict:
		if how = conflictOrOwn(c, res); how == lost {
			cause = errNoAnswer(errReplaced)
		}
		return how, cause, false
	case store.Rejected:
		if r.sent > 1 { // an earlier sending may have been applied nevertheless
			return lost, nil, true
		}
		cause = storeError(phaseSave, res.Err)
		if r.backend.ctx.Err() != nil {
			cause = fail(Closed, "the app is closed", res.Err)
		}
		return rejected, cause, false
	}
	return lost, nil, true
}

// conflictOrOwn tells a conflict with others from a conflict with an earlier
// sending of the same request. The earlier sending was not applied if a record
// that it would have changed still exists without the write's id. If others
// have deleted the records since, or created them again, or if so many have
// written them that the id may have been pushed out, the outcome is unknown:
// starting again could make the same change twice.
func conflictOrOwn(c change, res store.Result) conclusion {
	r := c.head()
	for _, rec := range res.Current {
		if metaCarries(rec.Meta, r.by) {
			return vanished // applied; load what is there now
		}
	}
	if r.sent == 1 {
		return conflicted // with others
	}
	g := r.all()
	for i := range min(len(g), len(res.Current)) {
		w, rec := &g[i], &res.Current[i]
		base := c.base(i)
		was, is := base.Birth(), birthOf(rec.Meta)
		switch {
		case w.Op == store.Check: // does not show whether the group was applied
		case w.Base != 0 && rec.Revision == w.Base:
			return conflicted
		case meta.Removes(w) && len(g) == 1 && (rec.Revision == 0 || meta.Deleted(rec.Meta) || is != 0 && was != 0 && is != was):
			return vanished // the record that it should remove is gone
		case is != 0 && is == was && (meta.Removes(w) || metaGoesBackTo(rec.Meta, base, r.by.Node)):
			return conflicted
		}
	}
	return lost
}
