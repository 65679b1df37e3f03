package golden

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stay-go/stay/internal/access"
)

// A step of a module case. It is one of *call, *restart, *evict, *parallel.
type step interface {
	// run does the step. alone says that no other step is under way.
	// succeeded is whether the step, or one of its repetitions, did its work;
	// an error means that the case has failed.
	run(r *moduleRun, alone bool) (succeeded bool, err error)
	// sessions returns the names of the sessions that take part.
	sessions() []string
}

type (
	restart  struct{ kill bool }
	evict    struct{}
	parallel struct {
		steps   []step
		stagger int // ms
	}
	// A call is a get, an update or an action, or several of them.
	call struct {
		text            string
		session, module string
		do              func(ctx context.Context, s access.State) (any, error)
		scribble        body
		times           int
		concurrent      bool
		wants
	}
)

func (*restart) sessions() []string { return nil }
func (*evict) sessions() []string   { return nil }
func (c *call) sessions() []string  { return []string{c.session} }

func (p *parallel) sessions() []string {
	var out []string
	for _, s := range p.steps {
		out = append(out, s.sessions()...)
	}
	return out
}

// wants are what a call expects of its outcome.
type wants struct {
	values   []string // canonical JSON; nil = any
	mayFail  bool
	mustFail bool
	hook     bool
}

type wantsText struct {
	Want      json.RawMessage
	OneOf     []json.RawMessage
	WantError json.RawMessage
	Hook      *bool
}

func (text *wantsText) wants() (w wants, err error) {
	list := text.OneOf
	if text.Want != nil {
		if list != nil {
			return w, errors.New("both want and oneOf")
		}
		list = []json.RawMessage{text.Want}
	} else if list != nil && len(list) == 0 {
		return w, errors.New("oneOf is empty")
	}
	for _, raw := range list {
		value, err := canonical(raw)
		if err != nil {
			return w, err
		}
		w.values = append(w.values, value)
	}
	switch string(text.WantError) {
	case "":
	case "true":
		w.mustFail = true
	case `"any"`:
		w.mayFail = true
	default:
		return w, fmt.Errorf("wantError is %s, want true or \"any\"", text.WantError)
	}
	if w.mustFail && w.values != nil {
		return w, errors.New("a value is wanted of a step that must fail")
	}
	if text.Hook != nil {
		if w.hook = *text.Hook; !w.hook {
			return w, errors.New("hook is true or absent")
		}
	}
	return w, nil
}

// check compares an outcome with what is wanted of it.
func (w *wants) check(value any, err error) error {
	switch {
	case err == nil && w.mustFail:
		return errors.New("it succeeded and must fail")
	case err != nil && !w.mustFail && !w.mayFail:
		return fmt.Errorf("it failed: %w", err)
	case err != nil || w.values == nil:
		return nil
	}
	got, err := json.Marshal(value)
	if err != nil {
		return err
	}
	text, err := canonical(got)
	if err != nil {
		return err
	}
	if !slices.Contains(w.values, text) {
		return fmt.Errorf("got %s, want %s", text, strings.Join(w.values, " or "))
	}
	return nil
}

func stepsOf(raws []json.RawMessage, c *moduleCase) ([]step, error) {
	steps := make([]step, len(raws))
	for i, raw := range raws {
		s, err := stepOf(raw, c)
		if err != nil {
			return nil, fmt.Errorf("step %s: %w", raw, err)
		}
		steps[i] = s
	}
	return steps, nil
}

func stepOf(raw json.RawMessage, c *moduleCase) (step, error) {
	kind, err := decodeKind(raw)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "get":
		return getOf(raw, c)
	case "update":
		return updateOf(raw, c)
	case "action":
		return actionOf(raw, c)
	case "restart":
		var o struct {
			Op   string
			Kill bool
		}
		err := decode(raw, &o)
		return &restart{o.Kill}, err
	case "evict":
		return &evict{}, decode(raw, &struct{ Op string }{})
	case "parallel":
		var o struct {
			Op        string
			Steps     []json.RawMessage
			StaggerMs int
		}
		if err := decode(raw, &o); err != nil {
			return nil, err
		}
		if len(o.Steps) == 0 {
			return nil, errors.New("there are no steps")
		}
		steps, err := stepsOf(o.Steps, c)
		return &parallel{steps, o.StaggerMs}, err
	}
	return nil, fmt.Errorf("the step %q is not known", kind)
}

// callText is what get, update and action have in common.
type callText struct {
	Op              string
	Session, Module string
	wantsText
}

// repeated is what update and action have in common.
type repeated struct {
	callText
	Times      *int
	Concurrent bool
}

func (text *callText) call(raw json.RawMessage, c *moduleCase) (*call, *module, error) {
	m, err := c.module(text.Module)
	if err != nil {
		return nil, nil, err
	}
	if text.Session == "" {
		return nil, nil, errors.New("missing: session")
	}
	w, err := text.wants()
	return &call{text: string(raw), session: text.Session, module: text.Module, times: 1, wants: w}, m, err
}

func (text *repeated) call(raw json.RawMessage, c *moduleCase) (*call, *module, error) {
	out, m, err := text.callText.call(raw, c)
	if err != nil {
		return nil, nil, err
	}
	out.concurrent = text.Concurrent
	if text.Times != nil {
		out.times = *text.Times
	} else if out.concurrent {
		return nil, nil, errors.New("concurrent without times")
	}
	if out.times < 1 {
		return nil, nil, fmt.Errorf("%d times", out.times)
	}
	return out, m, nil
}

func getOf(raw json.RawMessage, c *moduleCase) (step, error) {
	var text struct {
		callText
		Scribble []json.RawMessage
	}
	if err := decode(raw, &text); err != nil {
		return nil, err
	}
	out, m, err := text.call(raw, c)
	if err != nil {
		return nil, err
	}
	out.do = func(ctx context.Context, s access.State) (any, error) { return s.Get(ctx) }
	out.scribble, err = bodyOf(text.Scribble, m.typ, false)
	return out, err
}

func updateOf(raw json.RawMessage, c *moduleCase) (step, error) {
	var text struct {
		repeated
		Ops []json.RawMessage
	}
	if err := decode(raw, &text); err != nil {
		return nil, err
	}
	if text.Ops == nil {
		return nil, errors.New("missing: ops")
	}
	out, m, err := text.call(raw, c)
	if err != nil {
		return nil, err
	}
	b, err := bodyOf(text.Ops, m.typ, false)
	out.do = func(ctx context.Context, s access.State) (any, error) {
		return s.Update(ctx, mutation(func(ctx context.Context, v any) error { return b.do(ctx, v, nil) }))
	}
	return out, err
}

// A mutation is a function that changes a state; its key may change with it.
type mutation func(ctx context.Context, v any) error

// Run implements access.Change.
func (fn mutation) Run(ctx context.Context, v any) error {
	run := &access.Run{Context: ctx}
	defer run.End()
	return fn(run, v)
}

// Replayed implements access.Change.
func (mutation) Replayed() {}

// Moving implements access.Change.
func (mutation) Moving() error { return nil }

func actionOf(raw json.RawMessage, c *moduleCase) (step, error) {
	var text struct {
		repeated
		Action  string
		Payload json.RawMessage
	}
	if err := decode(raw, &text); err != nil {
		return nil, err
	}
	out, m, err := text.call(raw, c)
	if err != nil {
		return nil, err
	}
	if m.actions[text.Action] == nil {
		return nil, fmt.Errorf("module %q has no action %q", m.name, text.Action)
	}
	var payload any
	if text.Payload != nil {
		payload = text.Payload
	}
	out.do = func(ctx context.Context, s access.State) (any, error) { return s.Do(ctx, text.Action, payload) }
	return out, nil
}
