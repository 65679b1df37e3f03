package signing_test

import (
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

// No token that was not issued names a session, and none breaks anything.
//
// Proves B3, W1.
func FuzzToken(f *testing.F) {
	app := testkit.NewApp(f, memstore.New(), nil)
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerSession})
	b := testkit.NewBrowser(app)
	if _, err := s.Update(b.Ctx(), testkit.Increment); err != nil {
		f.Fatal(err)
	}
	good := b.Token
	for _, token := range []string{"", good, good[1:], good + "A", good[:20], "__proto__", "\x00"} {
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		b := testkit.NewBrowser(app)
		b.Token = token
		c, err := s.Get(b.Ctx())
		if err != nil {
			t.Fatal(err)
		}
		if (c.Count == 1) != (token == good) {
			t.Errorf("token %q reads count %d", token, c.Count)
		}
	})
}
