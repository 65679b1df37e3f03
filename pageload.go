package stay

import "context"

// pageLoad resets the states of the session in ctx that are to be reset when
// a page is loaded.
func (a *App) pageLoad(ctx context.Context) error {
	s := sessionOf(ctx, a)
	_ = s
	return nil
}
