package model_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/store"
)

// survey compares all that one process shows without a request.
func (w *world) survey(i int) {
	p, ctx := w.processes[i], context.Background()
	for _, sp := range w.specs {
		h := p.modules[sp.name]
		if h == nil {
			continue
		}
		w.surveyKeys(i, sp, h)
		for _, key := range keysOf(sp) {
			got, err := h.get(ctx, key)
			want, wantErr := w.stored(spot{sp: sp, key: key})
			w.compare(fmt.Sprintf("%s at %s in %d", sp.name, key, i), got, err, want, wantErr)
		}
		if sp.scope == global {
			got, err := h.get(ctx, "")
			w.compare(sp.name, got, err, w.model.value(spot{sp: sp}), nil)
		}
		for _, s := range w.model.sessions {
			if sp.scope != perSession || sp.debounce && w.unsaved(s.states[sp.name]) {
				continue
			}
			got, err := h.get(ctx, s.id)
			want, wantErr := w.ofSession(sp, s)
			w.compare(fmt.Sprintf("%s at session %.4s in %d", sp.name, s.id, i), got, err, want, wantErr)
		}
	}
	for _, name := range people {
		want := w.model.listed(name)
		n := 0
		for got, err := range p.app.Sessions(ctx, name) {
			if err != nil {
				w.wrong("sessions of %s: %v", name, err)
				break
			}
			if n == len(want) {
				w.wrong("the session %s of %s is listed in %d", got.ID(), name, i)
				break
			}
			s := want[n]
			if got.ID() != s.id || got.User() != name || !got.Created().Equal(s.created) || !got.LastSeen().Equal(s.seen) || !got.Expires().Equal(s.expires) {
				w.wrong("session %d of %s in %d: %s of %s, %v %v %v, want %+v", n, name, i, got.ID(), got.User(), got.Created(), got.LastSeen(), got.Expires(), s)
			}
			n++
		}
		if n < len(want) {
			w.wrong("%d sessions of %s are listed in %d, want %d", n, name, i, len(want))
		}
	}
	w.listen()
}

func (w *world) unsaved(p *place) bool { return p != nil && p.unsaved }

// surveyKeys compares what Keys yields.
func (w *world) surveyKeys(i int, sp *spec, h *handle) {
	must, may := []string{}, map[string]bool{}
	note := func(key string, p *place) {
		if p.live(w.model.now()) {
			if may[key] = true; !w.unsaved(p) {
				must = append(must, key)
			}
		}
	}
	for key, p := range w.model.keyed[sp.name] {
		note(key, p)
	}
	if sp.scope == perSession {
		for _, s := range w.model.sessions {
			note(s.id, s.states[sp.name])
			if s.left[sp.name] {
				may[s.id] = true
			}
		}
	}
	var got []string
	for key, err := range h.keys(context.Background()) {
		invalid := sp.scope == ephemeral || !sp.side && !w.features.List
		if invalid != (stay.CodeOf(err) == stay.ErrInvalid) || !invalid && err != nil {
			w.wrong("keys of %s: %v", sp.name, err)
		}
		if err != nil {
			return
		}
		got = append(got, key)
	}
	if !slices.IsSorted(got) {
		w.wrong("keys of %s are not in order: %q", sp.name, got)
	}
	for _, key := range got {
		if !may[key] {
			w.wrong("keys of %s in %d have %q", sp.name, i, key)
		}
	}
	for _, key := range must {
		if !slices.Contains(got, key) {
			w.wrong("keys of %s in %d lack %q", sp.name, i, key)
		}
	}
}

// play plays a world and reports what is wrong.
func play(t *testing.T, g ground, seed uint64, steps int) {
	w := newWorld(t, g, seed)
	for n := range 5 {
		w.browsers = append(w.browsers, &browser{n: n, home: n % len(w.roles)})
	}
	for n := range steps {
		if w.step(); len(w.bad) == 0 && (!g.slow || n%8 == 0) {
			w.survey(w.n(len(w.processes)))
		}
		w.listen()
		if len(w.bad) > 0 {
			break
		}
	}
	if len(w.bad) == 0 {
		w.finish()
	}
	for i, p := range w.processes {
		if err := p.app.Close(context.Background()); err != nil {
			t.Errorf("close of %d: %v", i, err)
		}
	}
	if len(w.bad) == 0 {
		w.leftovers()
	}
	if len(w.bad) > 0 {
		t.Errorf("seed %d on %s, after:\n%s\n%s", seed, g.name, strings.Join(w.trail[max(0, len(w.trail)-60):], "\n"), strings.Join(w.bad, "\n"))
	}
}

// finish looks at everything once more, in all processes and after a restart
// of all of them; then everything expires, and nothing is left of sessions.
func (w *world) finish() {
	for _, again := range []bool{false, true} {
		for i := range w.processes {
			if again {
				w.restart(i)
			}
		}
		for _, b := range w.browsers {
			i := 0
			if w.ground.sticky {
				i = b.home
			}
			v := w.begin(i, b.c)
			w.note("browser %d looks at everything with %s", b.n, b.c)
			v.look()
			v.end(b, b.c)
		}
		for i := range w.processes {
			w.survey(i)
		}
		if len(w.bad) > 0 {
			return
		}
	}
	for range 4 {
		w.advance(int(lifetime/time.Second) / 2)
		w.advance(3600)
		for i := range w.processes {
			w.sweep(len(w.processes) - 1 - i) // the one that knows all comes last
		}
	}
	for _, h := range w.model.heirs {
		if h.must && !h.told {
			w.wrong("OnExpire of %s was never told of %v, which expired at %v", h.sp.name, h.v, h.when.UTC())
		}
	}
}

// leftovers looks for records of sessions after all of them have gone.
func (w *world) leftovers() {
	s := w.open(0)
	defer s.Close()
	lister, ok := s.(store.Lister)
	if !ok || !w.features.List {
		return
	}
	for _, prefix := range []string{"session/", "guest/", "stay/session/", "stay/claim/", "stay/expired/", "stay/user/"} {
		keys, err := lister.List(context.Background(), time.Unix(0, 0), prefix, "", 100) // expired or not
		if err != nil || len(keys) > 0 {
			w.wrong("when all sessions are over there is %q, %v", keys, err)
		}
	}
}

// playAll plays each ground.
func playAll(t *testing.T, seed uint64, steps int) {
	for _, g := range grounds {
		t.Run(g.name, func(t *testing.T) {
			n := steps
			if g.slow {
				n /= 4
			}
			play(t, g, seed, n)
		})
	}
}

// Whatever sessions, users, jobs, sweeps, restarts and several programs on one
// store do, one after the other: all that is visible is what a small model says.
//
// Proves A15, B11, K1, K2, K3, K4, K5, K6, K7, K8, S1, S2, S3, S4, S5, S6, S7, N1.
func TestEveryScopeFollowsTheModel(t *testing.T) {
	seed := testseed.New(t)
	for n := range uint64(2) {
		playAll(t, seed+n, 100)
	}
}

// The same for longer.
func TestSoakEveryScope(t *testing.T) {
	if os.Getenv("STAY_SOAK") == "" {
		t.Skip("a long test: set STAY_SOAK=1")
	}
	seed := testseed.New(t)
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end) && !t.Failed(); seed++ {
		t.Logf("seed %d", seed)
		playAll(t, seed, 600)
	}
}
