package stay_test

import (
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/bridge"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// M3, A21: a state that cannot be read, of a user or of a guest, keeps nobody from
// logging in: OnError is told, the other modules move, that one is an error, and
// the record stays as it is.
func TestM3A21LoginBesideUnreadableStates(t *testing.T) {
	for _, whose := range []string{"user", "guest"} {
		t.Run(whose, func(t *testing.T) {
			st := memstore.New()
			var told []*stay.Error
			app := newApp(t, st, &stay.Options{
				Guests:  stay.GuestStored,
				OnError: func(_ *stay.Call, e *stay.Error) { told = append(told, e) },
			})
			p, c := userModules(app)
			b := newBrowser(app)
			change(t, b.ctx(), c, put("book"))
			key := "user/profile/ann"
			if whose == "guest" {
				key = "guest/profile/" + stay.SessionFrom(b.ctx()).ID()
			} else {
				change(t, b.ctx(), p, name("Guest"))
			}
			bad := store.Write{Op: store.Put, Key: key, Value: []byte(`{"name":1}`), Version: 1}
			if res := st.Commit(t.Context(), time.Now(), []store.Group{{bad}}); res[0].Outcome != store.Applied {
				t.Fatal(res[0])
			}
			bridge.AppOf(app).Evict(false)
			login(t, b, "ann")
			if len(told) != 1 || told[0].Module != "profile" || told[0].Phase != "decode" || told[0].Code != stay.ErrCorrupt {
				t.Errorf("OnError was told %v", told)
			}
			wantState(t, b.ctx(), c, `{"items":["book"]}`)
			_, err := p.Get(b.ctx())
			if whose == "user" {
				wantCode(t, err, stay.ErrCorrupt)
			} else {
				noError(t, err)
			}
			if got := recordOf(t, st, key); string(got.Value) != `{"name":1}` {
				t.Errorf("the record became %s", got.Value)
			}
		})
	}
}
