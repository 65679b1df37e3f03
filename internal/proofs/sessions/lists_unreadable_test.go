package sessions_test

import (
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// A list of all sessions leaves none out because a record cannot be read, its own
// or its user's, also if a later version of Stay has written it: the session comes
// with the error, and can be ended if its own record can be read.
//
// Proves S7.
func TestAListLeavesNoSessionOutThatCannotBeRead(t *testing.T) {
	for name, damage := range map[string]struct {
		prefix string
		write  func(rec *store.Record)
	}{
		"session":                  {"stay/session/", func(rec *store.Record) { rec.Value = []byte("{") }},
		"session of a later Stay":  {"stay/session/", func(rec *store.Record) { rec.Version = 2 }},
		"the user":                 {"stay/user/", func(rec *store.Record) { rec.Value = []byte("{") }},
		"the user of a later Stay": {"stay/user/", func(rec *store.Record) { rec.Version = 2 }},
	} {
		t.Run(name, func(t *testing.T) {
			mem := memstore.New()
			first := testkit.NewApp(t, testkit.Unclosed{Store: mem}, nil)
			testkit.UserModules(first)
			b := testkit.NewBrowser(first)
			testkit.Login(t, b, "ann")
			id := stay.SessionFrom(b.Ctx()).ID()
			testkit.NoError(t, first.Close(t.Context()))
			key := damage.prefix + map[string]string{"stay/session/": id, "stay/user/": "ann"}[damage.prefix]
			rec := testkit.RecordOf(t, mem, key)
			damage.write(&rec)
			testkit.Commit(t, mem, store.Write{Op: store.Put, Key: key, Base: rec.Revision, Version: rec.Version, Value: rec.Value, Expires: rec.Expires})

			app := testkit.NewApp(t, mem, nil)
			testkit.UserModules(app)
			n := 0
			for s, err := range app.AllSessions(t.Context(), "") {
				n++
				testkit.WantCode(t, err, stay.ErrCorrupt)
				if s == nil || s.ID() != id {
					t.Fatalf("the list has %v, want the session", s)
				}
				err = s.Destroy(t.Context())
				if damage.prefix == "stay/session/" {
					testkit.WantCode(t, err, stay.ErrCorrupt)
				} else {
					testkit.NoError(t, err)
				}
			}
			if n != 1 {
				t.Errorf("%d sessions are listed", n)
			}
			if damage.prefix == "stay/user/" {
				for s, err := range app.AllSessions(t.Context(), "") {
					t.Errorf("%v is listed after its end: %v", s, err)
				}
			}
		})
	}
}
