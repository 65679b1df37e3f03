package stay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"sync/atomic"

	"github.com/stay-go/stay/internal/bind"
)

// A Call is what an action or a hook gets beside the state. It is valid until
// the function it was given to returns, and is not for concurrent use.
type Call struct {
	ctx      context.Context
	run      runContext // what ctx is inside an action
	session  *Session
	module   string
	action   string
	restored bool
	payload  *any         // apart, as secrets are: it may be anything that a client has sent
	binder   *bind.Binder // of payload; nil if there can be none
	acting   bool         // it is an action's
	after    []func(context.Context)
}

// Context is the caller's context. Inside an action it marks the run: changes
// of state made with it are refused with ErrNested.
func (c *Call) Context() context.Context { return c.ctx }

// Session is the caller's session; nil where there is none, as in hooks and
// in background work.
func (c *Call) Session() *Session { return c.session }

// Module is the name of the module; "" when none is concerned.
func (c *Call) Module() string { return c.module }

// Action is the name of the action; "" outside actions.
func (c *Call) Action() string { return c.action }

// Restored tells OnCreated whether the state came from the store.
func (c *Call) Restored() bool { return c.restored }

// Bind reads the payload of the action into dst, a pointer to a struct. A field
// that dst does not have is ErrMalformed; package web leaves out those of other
// parts of a page. Values that do not fit are ErrInvalid, all of them in one
// error; see [FieldErrors]. A payload that stands for too much is ErrTooLarge,
// and a dst that nothing can be bound to ErrInternal; see [WithPayload].
//
// What the payload does not name stays as it is, so dst may be the state. What
// is refused has changed nothing, and nothing that others hold as well is
// written to. Fields tagged stay:"private" or stay:"key" are neither set nor
// lost: a list, an array or a map whose elements have them is ErrMalformed
// unless it is empty, as is null for a pointer that leads to them. Without a
// payload dst stays as it is.
func (c *Call) Bind(dst any) error {
	var payload any
	if c.payload != nil {
		payload = *c.payload
	}
	return bindPayload(c.binder, payload, dst)
}

// After has fn called once what the action did is durable, or once it is
// known that it changed nothing: in the order of the calls of After, at most
// once, with the state free for others, and before Update or Do returns. What
// a run asked for that was dropped, by an error or a conflict, is not called.
// If the caller has left by then, the App calls fn, with a context that ends
// when the App is closed. A crash in between means that fn is never called; a
// panic in it goes to OnError.
//
// Only actions have an after: in hooks and key functions After panics.
func (c *Call) After(fn func(context.Context)) {
	if !c.acting {
		panic("stay: Call.After outside of an action: nothing would call it")
	}
	c.after = append(c.after, fn)
}

// WithPayload makes an action of a function that takes a typed payload, bound
// as by [Call.Bind]. If In or *In has a method Validate() error, what it
// returns is answered instead of running fn. Where that has no code it is
// ErrInvalid, and its whole text is shown to the client. If some values do not
// fit, Validate sees the others, and what it says of other fields is part of
// the error. WithPayload panics if
// In is a pointer or fn is nil, or if a part of In has fields tagged
// stay:"private" or stay:"key" and reads itself, so that nothing would heed the
// tags.
func WithPayload[S, In any](fn func(c *Call, s *S, in In) error) Action[S] {
	if fn == nil {
		panic("stay.WithPayload: the function is nil")
	}
	if t := reflect.TypeFor[In](); t.Kind() == reflect.Pointer {
		panic(fmt.Sprintf("stay.WithPayload: the payload is a pointer, %v: take a %v", t, t.Elem()))
	} else if err := bind.Check(t); err != nil {
		panic("stay.WithPayload: " + err.Error())
	}
	return func(c *Call, s *S) error {
		var in In
		if err := c.Bind(&in); err != nil {
			return withRest(err)
		}
		if err := validate(&in); err != nil {
			return err
		}
		return fn(c, s, in)
	}
}

// validate calls the Validate method of what dst points to, if it has one. An
// error without a code of its own is ErrInvalid, with its text for the client.
func validate(dst any) error {
	err := bind.Validate(dst)
	if err == nil || hasCode(err) {
		return err
	}
	return &Error{Code: ErrInvalid, Message: err.Error(), Err: err}
}

// withRest adds to the error of values that do not fit what Validate says of the
// others.
func withRest(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	all := *e
	all.Message, all.Fields = bind.ValidateRest(e.Err, e.Message, maps.Clone(e.Fields), FieldErrors)
	return &all
}

// bindPayload reads a payload, which may know how to bind itself. An error of
// its own without a code is a fault of the payload.
func bindPayload(b *bind.Binder, payload, dst any) error {
	if p, ok := payload.(interface{ Bind(dst any) error }); ok {
		err := p.Bind(dst)
		var se *Error
		if err == nil || errors.As(err, &se) {
			return err
		}
		return &Error{Code: ErrMalformed, Message: err.Error(), Err: err}
	}
	err := b.Value(payload, dst)
	if err == nil {
		return nil
	}
	code, message, fields := bind.Explain(err, words)
	return &Error{Code: Code(code), Message: message, Fields: fields, Err: err}
}

// words returns what a client is told of a value: what a type of the program
// that reads itself says of it with Invalid, else the words of package bind.
func words(e *bind.Error) string {
	if own := (*Error)(nil); errors.As(e.Err, &own) && own.Message != "" {
		return own.Message
	}
	return e.Message
}

type runKey struct{}

// A runContext is the context inside a run: changes of state made with it are
// refused until the run is over.
type runContext struct {
	context.Context
	over atomic.Bool
}

// Value implements context.Context.
func (c *runContext) Value(key any) any {
	if key == (runKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// newCall returns a Call whose context marks a run. Its session is the App's
// own: a context may carry those of others.
func (a *base) newCall(ctx context.Context, module, action string) *Call {
	all := &struct { // one allocation for both
		call    Call
		payload any
	}{call: Call{session: sessionOf(ctx, a), module: module, action: action}}
	c := &all.call
	c.payload = &all.payload
	c.run.Context = ctx
	c.ctx = &c.run
	return c
}

// nested reports whether ctx belongs to a run that is under way.
func nested(ctx context.Context) bool {
	c, _ := ctx.Value(runKey{}).(*runContext)
	return c != nil && !c.over.Load()
}

func nestedError(module string) error {
	return &Error{
		Code: ErrNested, Module: module,
		Message: "a change of state inside a change of state",
		Err:     errors.New("do it after the outer change has returned, or with Call.After"),
	}
}

var errHookEnded = errors.New("the hook ended its goroutine")

// isolated calls code of the user's in a goroutine of its own, which it may end,
// and waits for it. It returns what failed if it has panicked or done that.
func isolated(fn func()) error {
	failure, done := errHookEnded, make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				failure = panicError{p}
			}
		}()
		fn()
		failure = nil
	}()
	<-done
	return failure
}

// A panicError carries what a function of the user's panicked with.
type panicError struct{ value any }

func (e panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

func (e panicError) Unwrap() error {
	err, _ := e.value.(error)
	return err
}
