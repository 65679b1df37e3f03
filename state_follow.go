package stay

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/presence"
	"github.com/stay-go/stay/internal/streaming"
)

// Watch yields the committed state, and then what it has become, each time that
// it has changed: the newest version only, so whoever is slow skips what was
// between. Each is a copy that the caller owns. One with the same content as the
// last is left out, and of one key none is older than one before it. With
// Module.Presence, a change of who is present is seen as well, and the state comes
// once more.
//
// Watch runs in its caller's goroutine. It waits between two versions, has no
// goroutine of its own, and leaves nothing when the loop ends. It keeps nothing
// in memory: a state that it watches may be evicted, and comes back when it has
// changed.
//
// The state is that of the session in ctx, as long as its cookie stays the same.
// After a change of the key that keeps the cookie, it is the state of the other
// key. Watch ends with ErrEnded when the session is over for that cookie: when any
// request, that of ctx included, has logged it in or out, renewed or destroyed it,
// when it was revoked, and when it expires. Watch does not keep it from expiring:
// only requests do. If the session is over at the beginning, ErrEnded is all that
// it yields.
//
// The state of a key that has none is the initial one, also with At. Other errors
// are those of Get. Each error is the last that is yielded. When App.Close begins,
// that is ErrClosed. When ctx ends, Watch ends without an error.
//
// The store says how soon changes by other nodes are seen; those by this one are
// seen at once.
func (s *State[S]) Watch(ctx context.Context) iter.Seq2[*S, error] {
	return func(yield func(*S, error) bool) {
		s.watch(ctx, func(v any, err error) bool {
			if err != nil {
				return yield(nil, err)
			}
			return yield(s.module.schema.Clone(v).(*S), nil)
		})
	}
}

func (c untyped) watch(ctx context.Context, yield func(any, error) bool) {
	f := c.app.follow(ctx)
	defer f.close()
	ending := c.app.engine.Ending().Done()
	var last sighted
	for first := true; ; first = false {
		switch {
		case ctx.Err() != nil: // before it looks: nobody waits for that any more
			return
		case c.app.engine.Closing():
			yield(nil, closedError(c.module.name, "load", nil))
			return
		}
		v, err := f.look(c)
		switch {
		case err != nil:
			if ctx.Err() == nil {
				yield(nil, err)
			}
			return
		case first || !v.is.alike(last):
			last = v.is
			if !yield(v.value, nil) {
				return
			}
		}
		select {
		case <-f.watch.C:
		case <-ctx.Done():
		case <-ending:
		}
	}
}

// A follower implements Watch, and access.Follower. For each state that it looks
// at it watches the records that say which state that is, and the state itself.
type follower struct {
	app      *App
	ctx      context.Context
	watch    *engine.Watch
	cookie   *seen             // the session as it was at the first look; nil: none was wanted
	visitor  *presence.Visitor // whose page it is; nil: not known
	watched  []*watched
	followed []*followed
	attended *attended       // the session itself; nil: nobody wants to know
	timer    *time.Timer     // wakes when something expires; nil until something can
	memory   context.Context // ctx, for reads of what memory has; nil until there is one
}

// A followed state is one that a follower has looked at.
type followed struct {
	untyped
	places  []place // what is watched for it
	page    *presence.Page
	where   presence.Place   // of page
	visitor presence.Visitor // whose page it was said to be
	looked  bool             // since the last forget
	settled bool             // it was read with all of places watched
	until   time.Time        // when its session is over; zero = never
	due     time.Time        // when the first of all that expires; zero = never
}

// A place is where an instance is, or would be.
type place struct {
	kind *engine.Kind
	key  string
}

// A watched place is one that some followed states have.
type watched struct {
	place
	by *engine.Watched
	n  int // how many
}

func (a *App) follow(ctx context.Context) *follower {
	return &follower{app: a, ctx: ctx, watch: engine.NewWatch()}
}

func (f *follower) close() {
	if f.timer != nil {
		f.timer.Stop()
	}
	for _, w := range f.watched {
		f.app.engine.Unwatch(w.by)
	}
	for _, s := range f.followed {
		if s.page != nil {
			f.app.pages.Leave(s.page, false)
		}
	}
	f.watched, f.followed = nil, nil
}

// A sight is what a follower sees of a state.
type sight struct {
	value any
	is    sighted
}

// A sighted version is the identity of what a follower has seen.
type sighted struct {
	kind    *engine.Kind
	key     string
	content engine.Content
	present uint64 // names who is present, if that counts
}

func (f *follower) sight(c untyped, v *engine.Version, ref engine.Ref) sight {
	s := sight{v.Value, sighted{kind: ref.Kind, key: ref.Key, content: v.Content()}}
	if c.module.presence {
		s.is.present = f.app.pages.Number(presence.Place{Kind: ref.Kind, Key: ref.Key})
	}
	return s
}

// alike reports whether two versions look the same, whatever their keys are.
func (s sighted) alike(other sighted) bool {
	return s.content == other.content && s.present == other.present
}

// maxPlaces is how often a look may find the state at another place than before.
// Then it returns what there is, and is made again.
const maxPlaces = 8

// look returns the state as it is, and follows it from now on. It begins to watch
// before it reads: what changes earlier is seen, and what changes later wakes. So
// when it finds out where the state is, it watches that place and finds out again;
// only after the read it leaves the places that do not count any more.
func (f *follower) look(c untyped) (sight, error) {
	if c.module.key != nil { // its function is the user's code
		defer func() {
			if p := recover(); p != nil {
				c.module.panicked(f.ctx, "", "resolve", "", p)
			}
		}()
	}
	s := f.of(c)
	if s.settled && s.due.IsZero() && c.shared() {
		if is, ok := f.lookAgain(s); ok {
			return is, nil
		}
	}
	for n := 1; ; n++ {
		now := f.app.opts.Clock() // before the read: what expires after it has to wake
		ctx := f.ctx
		// Once the store was asked with all of it watched, memory is brought forward
		// for all who watch. The place of a shared state is known without the store.
		if s.settled || n == 1 && c.shared() {
			ctx = f.remembering()
		}
		var ref engine.Ref
		var r resolution
		err := c.resolve(ctx, &ref, &r)
		if err != nil {
			return sight{}, err
		}
		if !f.same(&r) {
			return sight{}, ended()
		}
		if f.watch.Stream != nil && r.request != nil {
			f.watch.Stream.Is(streaming.Who{Session: r.session, User: r.record().user()})
		}
		at := r.places(ref)
		moved := f.enter(s, at)
		if moved && n < maxPlaces {
			continue
		}
		v := ref.Seen
		if v == nil {
			if v, err = c.app.engine.Get(ctx, &ref); err != nil {
				return sight{}, c.module.error(err, "", ref.Key)
			}
		}
		if s.settled = !moved; moved {
			f.watch.Wake()
		}
		f.leave(s, at)
		f.expect(s, now, v.Expires(), r.ends()...)
		f.count(s, ref, &r)
		return f.sight(c, v, ref), nil
	}
}

// lookAgain is look for a state of everybody that was looked at before: it stays
// where it is. It reports false if look has to do it.
func (f *follower) lookAgain(s *followed) (is sight, ok bool) {
	var ref engine.Ref
	if s.common(f.remembering(), s.places[0].key, &ref) != nil {
		return is, false
	}
	v, err := f.app.engine.Get(f.memory, &ref)
	if err != nil || !v.Expires().IsZero() {
		return is, false
	}
	f.count(s, ref, &resolution{})
	return f.sight(s.untyped, v, ref), true
}

// remembering returns ctx for reads of what memory has.
func (f *follower) remembering() context.Context {
	if f.memory == nil {
		f.memory = context.WithValue(f.ctx, remembered{}, true)
	}
	return f.memory
}

// same reports whether the session has the cookie that it had at the first look.
// A change by the request of f's context gives it another one, after a moment in
// which it has none. A session of App.Sessions has no cookie.
func (f *follower) same(r *resolution) bool {
	if r.request == nil || r.keeps {
		return true
	}
	if f.cookie == nil {
		f.cookie = &seen{session: r.session, gen: r.gen}
	}
	return f.cookie.session == r.session && f.cookie.gen == r.gen
}

// of returns the followed state.
func (f *follower) of(c untyped) *followed {
	for _, s := range f.followed {
		if s.module == c.module && s.at == c.at && s.of() == c.of() {
			s.looked = true
			return s
		}
	}
	s := &followed{untyped: c, looked: true}
	f.followed = append(f.followed, s)
	return s
}

// forget implements access.Follower.
func (f *follower) forget() {
	f.followed = slices.DeleteFunc(f.followed, func(s *followed) bool {
		if s.looked || s.module == nil { // the session itself is not looked at
			s.looked = false
			return false
		}
		f.leave(s, nil)
		if s.page != nil {
			f.app.pages.Leave(s.page, false)
		}
		return true
	})
}

// enter watches the places that are not watched for the state yet. It reports
// whether there were any.
func (f *follower) enter(s *followed, at []place) (moved bool) {
	for _, p := range at {
		if slices.Contains(s.places, p) {
			continue
		}
		i := f.index(p)
		if i < 0 {
			i = len(f.watched)
			f.watched = append(f.watched, &watched{place: p, by: f.app.engine.Watch(f.watch, p.kind, p.key)})
		}
		f.watched[i].n++
		s.places, s.settled, moved = append(s.places, p), false, true
	}
	return moved
}

// leave ends to watch the places that are not the state's any more.
func (f *follower) leave(s *followed, at []place) {
	s.places = slices.DeleteFunc(s.places, func(p place) bool {
		if slices.Contains(at, p) {
			return false
		}
		i := f.index(p)
		if f.watched[i].n--; f.watched[i].n == 0 {
			f.app.engine.Unwatch(f.watched[i].by)
			f.watched = slices.Delete(f.watched, i, i+1)
		}
		return true
	})
}

func (f *follower) index(p place) int {
	return slices.IndexFunc(f.watched, func(w *watched) bool { return w.place == p })
}

// leastWait keeps a clock that stands still from waking a follower all the time.
const leastWait = 100 * time.Millisecond

// expect has f wake when the state expires, or the session that it belongs to; now
// is when the look began. A record that has expired stays as it is until somebody
// looks, so nothing else may wake f then. If the App's clock is set forward, the
// sweep wakes f within a minute.
func (f *follower) expect(s *followed, now, expires time.Time, ends ...time.Time) {
	s.until = earliest(now, ends...)
	s.due = earliest(now, s.until, expires)
	var due time.Time
	for _, s := range f.followed {
		due = earliest(time.Time{}, due, s.due)
	}
	switch wait := max(due.Sub(now), leastWait); {
	case due.IsZero():
		if f.timer != nil {
			f.timer.Stop()
		}
	case f.timer == nil:
		f.timer = time.AfterFunc(wait, f.watch.Wake)
	default:
		f.timer.Reset(wait)
	}
}

// until is when the session is over if no request uses it.
func (f *follower) until() (t time.Time) {
	for _, s := range f.followed {
		t = earliest(time.Time{}, t, s.until)
	}
	return t
}

// places are those on which it depends which state the resolution has, and the
// state's.
func (r *resolution) places(ref engine.Ref) []place {
	if r.ss == nil {
		return []place{{ref.Kind, ref.Key}}
	}
	at := append(make([]place, 0, 4), place{ref.Kind, ref.Key})
	at = append(at, place{r.ss.kind, r.session})
	rec := r.record()
	if user := rec.user(); user != "" {
		at = append(at, place{r.ss.users, user})
	}
	if r.of.byState() {
		// The state of a key that the session is attached to, also if it is not there.
		if t := r.of.locate(r.session, rec); t.kind != ref.Kind || t.id != ref.Key {
			at = append(at, place{t.kind, t.id})
		}
	}
	return at
}

// ends are the times after which the session may be over.
func (r *resolution) ends() []time.Time {
	if r.ss == nil {
		return nil
	}
	return []time.Time{r.version.Expires(), timeOf(r.record().past().Until), r.idleEnd}
}
