package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"github.com/stay-go/stay/web"
)

// The ResponseWriter behind Sessions is an http.CloseNotifier, which gin asks
// for: its channel receives when the request is over, and only then.
//
// Proves B8.
func TestClosedConnectionsAreNotified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		ctx, leave := context.WithCancel(t.Context())
		h := web.Sessions(s.app, nil)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			gone := w.(interface{ CloseNotify() <-chan bool }).CloseNotify()
			synctest.Wait()
			select {
			case <-gone:
				t.Error("a request that goes on is notified of its end")
			default:
			}
			leave()
			synctest.Wait()
			select {
			case <-gone:
			default:
				t.Error("a request whose client has left is not notified")
			}
		}))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/", nil))
	})
}
