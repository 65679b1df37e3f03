package stay

import (
	"context"
	"fmt"

	"github.com/stay-go/stay/internal/engine"
	"github.com/stay-go/stay/internal/once"
)

// Once returns a context whose changes of state take effect once, however often
// they are made with the same id: as for a message of a queue that may be
// delivered twice, or after [ErrUnknown]. Package web does the same for requests
// with an Idempotency-Key, and for forms with web.Once.
//
//	_, err := orders.At(m.Customer).Do(stay.Once(ctx, m.ID), "book", m)
//
// If such a change was made before, its function does not run and Call.After
// calls nothing: the result is the state as it is now. A change that is made
// while the first is still on its way waits for that one. A change is made
// before if it had the same id, session, module and action, the same key through
// At, and was the same in the order of the changes that were made with the
// context; so make the context anew for each message, and each time that it
// is delivered. The states of all sessions, and those of keys, know no session: their
// ids must be unique, as random ones are.
//
// Only changes are remembered: what ended in an error, or has changed nothing,
// runs again. They are remembered with the state itself, by the same commit:
// the latest 256 with an id, for 24 hours, and until the state is deleted or
// expires. If more come in that time the oldest are forgotten, which is
// measured and logged. What a login or a change of the key moves to another
// state is remembered there.
//
// An id has 1 to 255 bytes; with any other, changes are ErrInvalid. The context
// may be used concurrently, but changes of the same state then have no order.
func Once(ctx context.Context, id string) context.Context {
	return once.With(ctx, once.New(id, 0))
}

// A naming names a change for package engine.
type naming struct {
	request *once.Request // nil: the change has no name
	number  uint32
	name    engine.Name
	known   bool // the change was made before
}

// begin takes the number of the change among those that are made with ctx.
func (n *naming) begin(ctx context.Context, c untyped) error {
	r := once.Of(ctx)
	if r == nil {
		return nil
	}
	if !r.Valid() {
		return &Error{
			Code: ErrInvalid, Module: c.module.name, Phase: "resolve", Message: "the id of the request has a wrong length",
			Err: fmt.Errorf("the id that Once got must have 1 to %d bytes", once.MaxID),
		}
	}
	n.request, n.number = r, r.Number(c.module.name, c.of())
	return nil
}

// of names the change for the session that it was resolved with; "" for states
// that belong to none.
func (n *naming) of(session, module, action string) engine.Name {
	if n.request != nil {
		n.name = engine.Name{ID: n.request.Name(session, module, action, n.number), Print: n.request.Print()}
	}
	return n.name
}

// Known implements engine.NamedOp.
func (o *op) Known() {
	o.naming.known, o.call = true, nil
	if o.change != nil {
		o.change.Replayed()
	}
}
