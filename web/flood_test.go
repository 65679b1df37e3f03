package web_test

import (
	"net/http"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// The carts of guests who have come back at least once stay, however many
// requests without a cookie begin a cart.
//
// Proves E6, W6.
func TestCartsOutliveAFloodOfRequestsWithoutCookies(t *testing.T) {
	const limit, guests = 100, 60
	s := newSite(t, func(o *stay.Options) { o.MaxGuests = limit })
	cart := stay.Register(s.app, stay.Module[Counter]{Name: "cart"})
	mux := http.NewServeMux()
	mux.HandleFunc("/add", func(w http.ResponseWriter, r *http.Request) {
		// A handler that changes the cart, shows it, and looks at it once more.
		if _, err := cart.Update(r.Context(), func(c *Counter) error { c.Count++; return nil }); err != nil {
			web.Error(w, r, err)
			return
		}
		if _, err := cart.Get(r.Context()); err != nil {
			web.Error(w, r, err)
			return
		}
		web.View(cart, func(w http.ResponseWriter, _ *http.Request, c *Counter) error {
			_, err := w.Write([]byte{byte('0' + c.Count)})
			return err
		})(w, r)
	})
	h := web.Sessions(s.app, nil)(mux)
	var back []*http.Client
	for range guests {
		c := browser(h)
		for range 2 {
			send(t, c, "POST", "/add", "")
		}
		back = append(back, c)
	}
	for range 10 * limit {
		send(t, browser(h), "POST", "/add", "")
	}
	for i, c := range back {
		if got := send(t, c, "POST", "/add", ""); got.body != "3" {
			t.Fatalf("guest %d has %s in the cart, want 3", i, got.body)
		}
	}
}
