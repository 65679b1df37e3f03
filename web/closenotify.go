package web

import "context"

// CloseNotify implements http.CloseNotifier, which is deprecated: the streams
// of gin ask for it and panic without it. The channel receives a value when the
// request's context ends.
func (x *exchange) CloseNotify() <-chan bool {
	gone := make(chan bool, 1)
	context.AfterFunc(x.Context, func() { gone <- true })
	return gone
}
