package model_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/stay-go/stay"
)

// steps draws what happens.
type steps struct {
	random *rand.Rand
	items  int
}

func newSteps(seed uint64) *steps { return &steps{random: rand.New(rand.NewPCG(seed, 7))} }

func (st *steps) n(n int) int { return st.random.IntN(n) }

func pick[T any](st *steps, all []T) T { return all[st.n(len(all))] }

var (
	people = []string{"red/1", "red/2", "blue/1", "solo"}
	errNo  = errors.New("no")
)

// step does one thing.
func (w *world) step() {
	switch k := w.n(100); {
	case k < 62:
		w.visitStep()
	case k < 74:
		w.keyStep()
	case k < 78:
		w.sessionStep()
	case k < 80:
		w.revokeStep()
	case k < 84:
		w.viewStep()
	case k < 91:
		w.advance(pick(w.steps, []int{1, 20, 59, 60, 61, 600, 3600, 2 * 3600, 5 * 3600, 9 * 3600, 21*3600 + 1800, 25 * 3600}))
	case k < 94:
		w.sweep(w.n(len(w.processes)))
	case k < 97:
		i := w.n(len(w.processes))
		w.note("evict in %d", i)
		w.processes[i].door.Evict(false)
	case k < 99:
		w.restart(w.n(len(w.processes)))
	case w.n(4) == 0:
		w.advance(11 * 24 * 3600)
	}
}

func (w *world) advance(seconds int) {
	w.note("advance %v", time.Duration(seconds)*time.Second)
	w.clock.Add(int64(seconds))
	w.model.expire()
}

func (w *world) restart(i int) {
	w.note("restart %d", i)
	if err := w.processes[i].app.Close(context.Background()); err != nil {
		w.wrong("close: %v", err)
	}
	for _, s := range w.model.sessions {
		for name, p := range s.states {
			if p.home == i && !p.stored {
				delete(s.states, name)
			}
		}
	}
	w.start(i)
}

// item is one that no other change has.
func (w *world) item() string {
	w.items++
	return fmt.Sprint("i", w.items)
}

// process draws which one a request reaches; those that know all are likelier.
func (w *world) process(b *browser) int {
	if w.ground.sticky {
		return b.home
	}
	i := w.n(len(w.processes))
	if w.roles[i].name != "full" && w.n(3) > 0 {
		i = 0
	}
	return i
}

// known draws a module that a process knows.
func (w *world) module(p *process) *spec {
	for {
		if sp := pick(w.steps, w.specs); p.role.knows(sp) {
			return sp
		}
	}
}

func (w *world) visitStep() {
	b := pick(w.steps, w.browsers)
	c := b.c
	if len(b.old) > 0 && w.n(7) == 0 {
		c = pick(w.steps, b.old)
	}
	v := w.begin(w.process(b), c)
	w.note("browser %d in %d with %s", b.n, v.proc, c)
	for range 1 + w.n(3) {
		w.visitOp(v)
	}
	v.end(b, c)
}

func (c *cookie) String() string {
	if c == nil {
		return "no cookie"
	}
	return fmt.Sprintf("cookie %.4s.%d", c.s.id, c.gen)
}

// visitOp does one thing with a request.
func (w *world) visitOp(v *visit) {
	session := stay.SessionFrom(v.ctx)
	switch k := w.n(100); {
	case k < 66:
		w.stateOp(v, w.module(v.p))
	case k < 78:
		name := pick(w.steps, people)
		w.settle(v, name)
		w.note("  login %s", name)
		v.compare("login", value{}, session.Login(v.ctx, name), value{}, v.setUser(name))
	case k < 83:
		w.settle(v, "")
		w.note("  logout")
		v.compare("logout", value{}, session.Logout(v.ctx), value{}, v.setUser(""))
	case k < 87:
		w.note("  renew")
		v.compare("renew", value{}, session.Renew(v.ctx), value{}, v.renew())
	case k < 89:
		w.note("  destroy")
		v.compare("destroy", value{}, session.Destroy(v.ctx), value{}, v.destroy())
	case k < 93:
		if !v.p.door.ResetsOnPageLoad() {
			return
		}
		w.note("  page load")
		err := v.p.door.PageLoad(v.ctx)
		v.load()
		v.compare("page load", value{}, err, value{}, nil)
	default:
		w.note("  look")
		v.look()
	}
}

// look reads all modules.
func (v *visit) look() {
	for _, sp := range v.w.specs {
		if h := v.p.modules[sp.name]; h != nil {
			got, err := h.get(v.ctx, "")
			v.compare("get "+sp.name, got, err, v.read(sp), nil)
		}
	}
}

// settle has what an earlier login left be taken along before the user changes
// once more: where it would go otherwise is not said.
func (w *world) settle(v *visit, name string) {
	if s := v.current(); s == nil || s.user == name || len(s.pending) == 0 {
		return
	}
	knows := w.begin(0, v.c)
	if v.given != nil {
		knows = w.begin(0, v.given)
	}
	if v.fixed {
		return
	}
	knows.look()
	knows.issues, knows.carrier.issued = nil, nil
}

// stateOp reads or changes a module's state by a request.
func (w *world) stateOp(v *visit, sp *spec) {
	h := v.p.modules[sp.name]
	// How a session begins whose first state is stored later is another matter.
	if sp.debounce && v.current() == nil {
		return
	}
	what, fn := w.change(sp)
	w.note("  %s %s", sp.name, what)
	what = sp.name + " " + what
	switch {
	case what == sp.name+" get":
		got, err := h.get(v.ctx, "")
		v.compare(what, got, err, v.read(sp), nil)
	case what == sp.name+" delete":
		err := h.del(v.ctx, "")
		v.compare(what, value{}, err, value{}, v.remove(sp))
	case strings.HasSuffix(what, "reset"):
		got, err := h.reset(v.ctx, "", false)
		want, wantErr := v.change(sp, resets(sp, false))
		v.compare(what, got, err, want, wantErr)
	case strings.HasSuffix(what, "resetall"):
		got, err := h.reset(v.ctx, "", true)
		want, wantErr := v.change(sp, resets(sp, true))
		v.compare(what, got, err, want, wantErr)
	case strings.HasSuffix(what, "do"):
		item := w.item()
		got, err := h.do(v.ctx, "", "add", item)
		want, wantErr := v.change(sp, func(s value) (value, error) { return s.with(item), nil })
		v.compare(what+" "+item, got, err, want, wantErr)
	default:
		got, err := h.update(v.ctx, "", fn)
		want, wantErr := v.change(sp, fn)
		v.compare(what, got, err, want, wantErr)
	}
}

// change draws what is done to a state.
func (w *world) change(sp *spec) (what string, fn func(value) (value, error)) {
	switch k := w.n(20); {
	case k < 3:
		return "get", nil
	case k < 4:
		return "delete", nil
	case k < 5:
		return "reset", nil
	case k < 6:
		return "resetall", nil
	case k < 8:
		return "do", nil
	case k < 9:
		return "nothing", func(v value) (value, error) { return v, nil }
	case k < 10:
		return "error", func(v value) (value, error) { return v.with("x"), errNo }
	case k < 12:
		item := w.item()
		return "keep " + item, func(v value) (value, error) { return v.keeping(item), nil }
	case k < 16 && sp.doc():
		owners := []string{"x", "y", ""}
		if sp.initial.owner != "" {
			owners[2] = sp.initial.owner
		}
		to, item := pick(w.steps, owners), ""
		if w.n(2) == 0 {
			item = w.item()
		}
		return "owner " + to + " " + item, func(v value) (value, error) {
			if v.owner = to; item != "" {
				v = v.with(item)
			}
			return v, nil
		}
	}
	item := w.item()
	if sp.adopt == picky && len(w.roles) == 1 && w.n(4) == 0 {
		item = "no" + item
	}
	return "add " + item, func(v value) (value, error) { return v.with(item), nil }
}
