package stay

import "context"

// Sweep removes what has expired, as the App does about once a minute.
func Sweep(ctx context.Context, a *App) {
	a.sweepOnce(ctx)
}

// NameOf is the ID that the session was last used with, whether it stands or not.
func NameOf(s *Session) string { return s.name() }
