package stay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"

	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/bind"
)

// A Call is the argument that an action or a hook gets beside the state. It is
// valid until that function returns, and is not for concurrent use.
type Call struct {
	ctx      context.Context
	run      access.Run // what ctx is inside an action
	session  *Session
	module   string
	action   string
	restored bool
	payload  *any         // behind a pointer, as secrets are: a client may have sent anything
	binder   *bind.Binder // of payload; nil if there can be none
	acting   bool         // the Call is an action's
	after    []func(context.Context)
}

// Context is the caller's context. Inside an action it marks the run: changes
// of state made with it are refused with ErrNested.
func (c *Call) Context() context.Context { return c.ctx }

// Session is the caller's session; nil where there is none, as in background work
// and in hooks. In Module.OnConnect, OnReconnect and OnDisconnect it is the session
// that they are about, which has the ID and the user; as one of [App.Sessions] has
// no response, it has none.
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
// error; see [FieldErrors]. A payload whose value would take too much memory is
// ErrTooLarge, and a dst that cannot be bound to is ErrInternal; see
// [WithPayload].
//
// Fields that the payload does not name stay as they are, so dst may be the
// state. A refused payload changes nothing, and Bind never writes to memory
// that dst shares with others. Fields tagged stay:"private" or stay:"key" are
// neither set nor lost: a payload for a list, an array or a map whose elements
// have such fields is ErrMalformed unless the list, array or map is empty, and
// so is null for a pointer to them. Without a payload dst stays as it is.
func (c *Call) Bind(dst any) error {
	var payload any
	if c.payload != nil {
		payload = *c.payload
	}
	return bindPayload(c.binder, payload, dst)
}

// After calls fn once the change of the action is durable, or once it is known
// that the action changed nothing. Functions are called in the order of the
// calls of After, at most once, with the state free for others, and before
// Update or Do returns. If a run is dropped, by an error or a conflict, its
// functions are not called. If the caller's context is done by then, the App
// calls fn, with a context that ends when the App is closed. After a crash in
// between fn is never called. A panic in fn goes to OnError.
//
// After is only for actions: in hooks and key functions it panics.
func (c *Call) After(fn func(context.Context)) {
	if !c.acting {
		panic("stay: Call.After was called outside an action: nothing would run the function")
	}
	c.after = append(c.after, fn)
}

// WithPayload makes an action of a function that takes a typed payload, bound
// as by [Call.Bind]. If In or *In has a method Validate() error, an error that
// it returns is the answer, and fn does not run. An error without a code is
// ErrInvalid, and its whole text is shown to the client. If some values do not
// fit, Validate sees the others, and what it says of other fields is part of
// the error. WithPayload panics if
// In is a pointer or fn is nil, or if a part of In has fields tagged
// stay:"private" or stay:"key" and has its own UnmarshalJSON or UnmarshalText,
// which would ignore the tags.
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

// bindPayload reads a payload, which may have its own Bind method. An error of
// that method without a code means that the payload is malformed.
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

// newCall returns a Call whose context marks a run. Its session is the one of
// this App: a context may carry sessions of several Apps.
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
func nested(ctx context.Context) bool { return access.Running(ctx) }

func nestedError(module string) error {
	return &Error{
		Code: ErrNested, Module: module,
		Message: "a state was changed inside another change of state",
		Err:     errors.New("make the change after the outer one has returned, or in a function passed to Call.After"),
	}
}

var errHookEnded = errors.New("the hook ended its goroutine (runtime.Goexit)")

// isolated calls user code in a separate goroutine, which the code may end, and
// waits for it. It returns an error if the code panicked or ended the
// goroutine.
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

// A panicError carries the value that a user's function panicked with.
type panicError struct{ value any }

func (e panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

func (e panicError) Unwrap() error {
	err, _ := e.value.(error)
	return err
}
