package stay

import "context"

// Sweep removes what has expired, as the App does about once a minute.
func Sweep(ctx context.Context, a *App) {
	a.engine.Sweep(ctx)
	for _, b := range a.backends() {
		a.sweep(ctx, b)
	}
}
