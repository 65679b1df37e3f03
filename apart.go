package stay

import (
	"time"

	"github.com/stay-go/stay/internal/engine"
)

// apart reports whether the state is not in the store that has the session's
// record: no group can have both.
func (r *resolution) apart() bool { return r.kind.Backend != r.ss.kind.Backend }

// Stands implements engine.Guard: what memory has of the session and its user
// is brought up to date before, on a store with other owners.
func (r *resolution) Stands(v *engine.Version) bool {
	if !r.isNew && r.refresh() != nil {
		return false // whoever resolves again gets the error
	}
	return r.Valid(v)
}

func (r *resolution) refresh() error {
	app := r.ss.app
	if !app.manyOwners.Load() {
		return nil
	}
	ctx, now := app.engine.Context(), app.opts.Clock()
	v, asked, err := r.ss.fresh(ctx, r.session, now)
	if err != nil {
		return err
	}
	if user := v.Value.(*sessionRecord).user(); user != "" && user != asked {
		return app.sync(ctx, engine.Ref{Kind: r.ss.users, Key: user, Now: now})
	}
	return nil
}

// keepGuests notes a use of the session for what it has in memory only, which
// is kept for as long as the session is used: see [Module.Persist]. It is called
// where the session slides, so about once in a tenth of Options.IdleTimeout.
func (a *registry) keepGuests(id string, rec *sessionRecord, now time.Time) {
	for _, st := range a.statesOfSession(id, rec) {
		if st.kind.Backend == nil {
			a.engine.Touch(st.kind, st.key, now)
		}
	}
}
