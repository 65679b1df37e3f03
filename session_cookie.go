package stay

import (
	"context"
	"errors"

	"github.com/stay-go/stay/internal/signing"
)

// A keyring signs the cookies of sessions and verifies them: a signing.Ring.
type keyring interface {
	Sign(ctx context.Context, t *signing.Token) (string, error)
	Verify(ctx context.Context, value string) (*signing.Token, error)
}

// newKeys returns the signing keys in the App's store.
func newKeys(a *App) *signing.Keys {
	return signing.New(signing.Config{
		Store: a.backend.Store(), Now: a.opts.Clock, IdleTimeout: a.opts.IdleTimeout, MaxWait: a.opts.MaxWait,
		Begin: func() error {
			if !a.engine.Begin() {
				return closedError("", "sign", nil)
			}
			return nil
		},
		End: a.engine.End,
		Go:  a.engine.Go,
		Failed: func(cause error) error {
			return &Error{Code: signingCode(cause), Phase: "sign", Message: "the signing keys cannot be read", Err: cause}
		},
	})
}

// sweepKeys reads the signing keys again and does what is due of them.
func (a *App) sweepKeys(ctx context.Context) {
	if err := a.keys.Sweep(ctx); err != nil {
		a.report(nil, a.newCall(ctx, "", ""), &Error{Code: signingCode(err), Phase: "sign", Err: err})
	}
}

func signingCode(err error) Code {
	switch {
	case errors.Is(err, signing.ErrUnavailable):
		return ErrUnavailable
	case errors.Is(err, signing.ErrCorrupt):
		return ErrCorrupt
	case errors.Is(err, signing.ErrClosed):
		return ErrClosed
	}
	return ErrInternal
}
