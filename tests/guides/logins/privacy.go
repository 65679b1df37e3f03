package logins

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"github.com/stay-go/stay"
)

// Export writes what is kept about a user as one JSON object.
func (s *Site) Export(ctx context.Context, out io.Writer, user string) error {
	all := map[string]any{}
	if err := export(ctx, all, s.profile.At(user)); err != nil {
		return err
	}
	if err := export(ctx, all, s.basket.At(user)); err != nil {
		return err
	}
	var sessions []any
	for session, err := range s.app.Sessions(ctx, user) {
		if err != nil {
			return err
		}
		about := map[string]any{"created": session.Created(), "lastSeen": session.LastSeen(), "device": session.Device()}
		if err := export(ctx, about, s.look.At(session.ID())); err != nil {
			return err
		}
		sessions = append(sessions, about)
	}
	all["sessions"] = sessions
	return json.NewEncoder(out).Encode(all)
}

// export adds one state, if there is one.
func export[S any](ctx context.Context, all map[string]any, state *stay.State[S]) error {
	v, err := state.Get(ctx)
	if errors.Is(err, stay.ErrNotFound) {
		return nil
	}
	all[state.Name()] = v
	return err
}

// Forget removes what is kept about a user. It may be called again if it
// fails half way.
func (s *Site) Forget(ctx context.Context, user string) error {
	for session, err := range s.app.Sessions(ctx, user) {
		if err == nil {
			err = session.Destroy(ctx) // with the states of the session
		}
		if err != nil {
			return err
		}
	}
	if err := s.app.Revoke(ctx, user); err != nil { // also those that were not listed
		return err
	}
	return errors.Join(s.profile.At(user).Delete(ctx), s.basket.At(user).Delete(ctx))
}
