package model_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
)

// A world is a site of one or more processes, and the model of it.
type world struct {
	t         *testing.T
	ground    ground
	roles     []role
	open      func(i int) store.Store
	openSide  func(i int) store.Store
	features  store.Features
	specs     []*spec
	clock     atomic.Int64 // in seconds
	processes []*process
	model     *model
	browsers  []*browser
	*steps

	trail []string // what was done
	bad   []string

	mu    sync.Mutex
	heard []told // by OnExpire, and not looked at yet
	fails []string
}

// A told is what an OnExpire was told.
type told struct {
	proc int
	sp   *spec
	v    value
}

func (w *world) expired(i int, sp *spec, v value) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.heard = append(w.heard, told{i, sp, v})
}

func (w *world) failure(i int, e *stay.Error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fails = append(w.fails, fmt.Sprintf("process %d reports %v", i, e))
}

func (w *world) wrong(format string, args ...any) {
	w.bad = append(w.bad, fmt.Sprintf(format, args...))
}

func (w *world) note(format string, args ...any) {
	at := time.Unix(w.clock.Load(), 0).UTC().Format("02 15:04:05")
	w.trail = append(w.trail, at+" "+fmt.Sprintf(format, args...))
}

// A browser keeps a cookie, and those that it had before.
type browser struct {
	n    int
	home int // the process that it reaches where that matters
	c    *cookie
	old  []*cookie
}

// A carrier is the response of one request.
type carrier struct {
	issued []string
	until  []time.Time
}

func (c *carrier) Issue(token string, until time.Time) bool {
	c.issued, c.until = append(c.issued, token), append(c.until, until)
	return true
}

func (c *carrier) Used()      {}
func (c *carrier) Open() bool { return true }

var _ access.Carrier = (*carrier)(nil)

// A visit is one request, as the product and the model see it.
type visit struct {
	*request
	w       *world
	p       *process
	ctx     context.Context
	carrier *carrier
	seen    int // cookies that were compared
	given   *cookie
	cleared bool
}

// begin begins a request with a cookie, in a process.
func (w *world) begin(proc int, c *cookie) *visit {
	p := w.processes[proc]
	v := &visit{w: w, p: p, carrier: &carrier{}, request: &request{m: w.model, proc: proc, c: c}}
	token := ""
	if c != nil {
		token = c.token
	}
	v.ctx = p.door.Begin(context.Background(), p.ring, token, v.carrier)
	return v
}

// through begins one with a session that App.Sessions has yielded.
func (w *world) through(proc int, view *stay.Session, s *session) *visit {
	v := &visit{w: w, p: w.processes[proc], carrier: &carrier{}}
	v.request = &request{m: w.model, proc: proc, fixed: true, opened: true, carried: true, s: s, user: s.user, gen: s.gen}
	v.ctx = stay.WithSession(context.Background(), view)
	return v
}

// compare compares what an operation returned with what the model says.
func (v *visit) compare(what string, got value, err error, want value, wantErr error) {
	v.w.compare(what, got, err, want, wantErr)
	v.cookies(what)
}

func (w *world) compare(what string, got value, err error, want value, wantErr error) {
	switch {
	case wantErr != nil && !errors.Is(err, wantErr):
		w.wrong("%s: error %v, want %v", what, err, wantErr)
	case wantErr == nil && err != nil:
		w.wrong("%s: %v", what, err)
	case wantErr == nil && !got.same(want):
		w.wrong("%s: %v, want %v", what, got, want)
	}
}

// cookies compares the cookies that were set, and names the session.
func (v *visit) cookies(what string) {
	for ; v.seen < len(v.issues) && v.seen < len(v.carrier.issued); v.seen++ {
		is, token, until := v.issues[v.seen], v.carrier.issued[v.seen], v.carrier.until[v.seen]
		v.given = nil
		if v.cleared = token == ""; v.cleared {
			if is.s != nil {
				v.w.wrong("%s: the cookie is cleared", what)
			}
			continue
		}
		if is.s == nil || !until.Equal(is.idleEnd) {
			v.w.wrong("%s: a cookie until %v, want one until %v (%v)", what, until, is.idleEnd, is.s != nil)
			continue
		}
		v.given = &cookie{token, is.s, is.gen, is.idleEnd}
		v.w.identify(is.s, v.proc, stay.SessionFrom(v.ctx).ID(), what)
	}
	if len(v.issues) != len(v.carrier.issued) {
		v.w.wrong("%s: %d cookies were set, want %d", what, len(v.carrier.issued), len(v.issues))
		v.carrier.issued = make([]string, len(v.issues))
		v.carrier.until = make([]time.Time, len(v.issues))
		v.seen = len(v.issues)
	}
}

// identify notes or checks the ID of a session.
func (w *world) identify(s *session, proc int, id, what string) {
	switch {
	case s.id == "":
		s.id, s.home = id, proc
		w.model.sessions = append(w.model.sessions, s)
	case s.id != id:
		w.wrong("%s: the session has the ID %s, want %s", what, id, s.id)
	}
}

// end ends the request: the browser takes over the cookie.
func (v *visit) end(b *browser, c *cookie) {
	user := stay.SessionFrom(v.ctx).User()
	want := ""
	if s := v.current(); s != nil {
		want = s.user
	}
	if user != want {
		v.w.wrong("the user is %q, want %q", user, want)
	}
	if b == nil || v.given == nil && !v.cleared {
		return
	}
	if b.c != nil {
		b.old = append(b.old, b.c)
	}
	if c != b.c && c != nil {
		b.old = append(b.old, c)
	}
	b.c = v.given
	if len(b.old) > 8 {
		b.old = slices.Delete(b.old, 0, 1)
	}
}
