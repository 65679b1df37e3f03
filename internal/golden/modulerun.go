package golden

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
)

// patience bounds a case, in the time that it is run in.
const patience = 2 * time.Minute

func options() *stay.Options {
	return &stay.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// A moduleRun is a case of modules/ under way.
type moduleRun struct {
	ctx      context.Context
	c        *moduleCase
	disk     *disk
	faults   *faults
	browsers map[string]*browser
	hooks    map[string]*atomic.Int64 // how often OnError was called, by module

	restarting sync.Mutex
	mu         sync.Mutex
	process    *process   // the one that takes calls
	killed     []*process // closed at the end
}

// run runs the case on an empty store, which the caller closes.
func (c *moduleCase) run(ctx context.Context, s store.Store) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r := &moduleRun{
		ctx: ctx, c: c, disk: newDisk(s), faults: &faults{},
		browsers: map[string]*browser{}, hooks: map[string]*atomic.Int64{},
	}
	for _, m := range c.modules {
		r.hooks[m.name] = new(atomic.Int64)
	}
	for _, modules := range c.refused {
		if err := r.refused(modules); err != nil {
			return err
		}
	}
	if err := r.prepare(); err != nil {
		return fmt.Errorf("before the first step: %w", err)
	}
	r.faults = c.faults(r)
	r.process = r.start(c.modules)
	defer func() {
		// Closing again what the case has closed does nothing.
		err = errors.Join(err, r.process.close(ctx))
		for _, p := range r.killed {
			_ = p.close(ctx) // its store has gone
		}
	}()
	for i, s := range c.steps {
		if _, err := s.run(r, true); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return r.expect()
}

// start starts an app with modules on the disk.
func (r *moduleRun) start(modules []*module) *process {
	h := &handle{disk: r.disk, faults: r.faults}
	p := &process{app: stay.New(h, options()), handle: h, states: map[string]access.State{}}
	p.ctx, p.cancel = context.WithCancel(r.ctx)
	p.core = access.AppOf(p.app)
	p.ring = p.core.Keyring(nil)
	for _, m := range modules {
		p.states[m.name] = m.register(p.app, func() { r.hooks[m.name].Add(1) })
	}
	return p
}

func (r *moduleRun) current() *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.process
}

// refused registers modules in an app of their own, which must panic.
func (r *moduleRun) refused(modules []*module) (err error) {
	p := r.start(nil)
	defer func() { err = errors.Join(err, p.close(r.ctx)) }()
	var names []string
	refused := func() (refused bool) {
		defer func() {
			text, ok := recover().(string)
			refused = ok && strings.HasPrefix(text, "stay.Register: ")
		}()
		for _, m := range modules {
			names = append(names, m.name)
			m.register(p.app, func() {})
		}
		return false
	}
	if !refused() {
		return fmt.Errorf("registering the modules %q was not refused", names)
	}
	return nil
}

// prepare gives every session of the case a cookie, and stores the records of
// the case, some of which belong to these sessions. It does so with an app of
// its own, so that the case's begins with its first step.
func (r *moduleRun) prepare() (err error) {
	p := r.start(nil)
	defer func() { err = errors.Join(err, p.close(r.ctx)) }()
	visits := access.Define(p.app, access.Definition{Name: "visits", Initial: &struct{ N int }{}})
	for _, name := range r.c.sessions() {
		b := &browser{}
		ctx, answered := b.request(p)
		if _, err := visits.Get(ctx); err != nil {
			return err
		}
		answered()
		if b.id = stay.SessionFrom(ctx).ID(); b.id == "" || b.token == "" {
			return errors.New("no session began")
		}
		r.browsers[name] = b
	}
	for _, rec := range r.c.records {
		value, err := canonical(rec.Value)
		if err != nil {
			return err
		}
		if err := r.disk.put(r.key(rec.Module, *rec.Key), []byte(value)); err != nil {
			return err
		}
	}
	return nil
}

// sessions returns the names of all sessions of the case.
func (c *moduleCase) sessions() []string {
	names := map[string]bool{}
	records := func(list []record) {
		for _, rec := range list {
			if m, err := c.module(rec.Module); err == nil && m.strategy == "perSession" {
				names[*rec.Key] = true
			}
		}
	}
	records(c.records)
	for _, s := range c.steps {
		for _, name := range s.sessions() {
			names[name] = true
		}
	}
	for _, e := range c.expect {
		records(e.Records)
		for _, s := range e.States {
			names[s.Session] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// key returns the key in the store of a state record that the case names.
func (r *moduleRun) key(name, key string) string {
	m, _ := r.c.module(name)
	if m.strategy == "perSession" {
		key = r.browsers[key].id
	}
	return m.prefix() + key
}

// name is the reverse of key: the module, and the key as the case has it. A
// record that belongs to no module and session has no module.
func (r *moduleRun) name(stored string) (name, key string) {
	for _, m := range r.c.modules {
		key, ok := strings.CutPrefix(stored, m.prefix())
		switch {
		case !ok || m.prefix() == "":
			continue
		case m.strategy == "global" && key == "", m.strategy == "withKey" && key != "":
			return m.name, key
		case m.strategy == "perSession":
			for session, b := range r.browsers {
				if b.id == key {
					return m.name, session
				}
			}
		}
	}
	return "", stored
}

func (s *restart) run(r *moduleRun, _ bool) (bool, error) {
	r.restarting.Lock()
	defer r.restarting.Unlock()
	old := r.current()
	if s.kill {
		if err := old.handle.Close(); err != nil {
			return false, err
		}
		old.cancel()
	} else if err := old.close(r.ctx); err != nil {
		return false, fmt.Errorf("closing the app: %w", err)
	}
	next := r.start(r.c.modules)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.process = next
	if s.kill {
		r.killed = append(r.killed, old)
	}
	return true, nil
}

func (s *evict) run(r *moduleRun, _ bool) (bool, error) {
	r.current().core.Evict(false)
	return true, nil
}

func (s *parallel) run(r *moduleRun, _ bool) (bool, error) {
	done := make([]bool, len(s.steps))
	errs := make([]error, len(s.steps))
	var all sync.WaitGroup
	for i, step := range s.steps {
		if i > 0 {
			if err := wait(r.ctx, milliseconds(s.stagger)); err != nil {
				errs[i] = err
				break
			}
		}
		all.Go(func() { done[i], errs[i] = step.run(r, false) })
	}
	all.Wait()
	err := errors.Join(errs...)
	if err == nil && !slices.Contains(done, true) {
		err = errors.New("none of the parallel steps succeeded")
	}
	return err == nil, err
}

func (s *call) run(r *moduleRun, alone bool) (bool, error) {
	hooks := r.hooks[s.module].Load()
	done := make([]bool, s.times)
	errs := make([]error, s.times)
	if s.concurrent {
		var all sync.WaitGroup
		for i := range s.times {
			all.Go(func() { done[i], errs[i] = s.once(r, false) })
		}
		all.Wait()
	} else {
		for i := range s.times {
			if done[i], errs[i] = s.once(r, alone); errs[i] != nil {
				break
			}
		}
	}
	err := errors.Join(errs...)
	if err == nil && s.hook && r.hooks[s.module].Load() == hooks {
		err = errors.New("OnError was not called")
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", s.text, err)
	}
	return slices.Contains(done, true), err
}

// once makes one request. It reports whether it succeeded.
func (s *call) once(r *moduleRun, alone bool) (bool, error) {
	p, writes := r.current(), r.disk.committed()
	ctx, answered := r.browsers[s.session].request(p)
	v, err := s.do(ctx, p.states[s.module])
	answered()
	if bad := s.check(v, err); bad != nil {
		return err == nil, bad
	}
	if err != nil {
		if now := r.disk.committed(); alone && now != writes {
			return false, fmt.Errorf("it failed (%w) and committed %d state records", err, now-writes)
		}
		return false, nil
	}
	return true, s.scribble.do(ctx, v, nil)
}
