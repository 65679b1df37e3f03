package changes_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store/memstore"
)

// Whatever is begun after the App was closed fails in the same words, for the
// client too.
//
// Proves E7.
func TestWhatIsClosedSaysSoInOneWay(t *testing.T) {
	app := testkit.NewApp(t, testkit.Unclosed{Store: memstore.New()}, nil)
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.Global})
	own := stay.Register(app, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession})
	ctx := testkit.NewBrowser(app).Ctx()
	if err := app.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, read := s.Get(t.Context())
	_, changed := s.Update(t.Context(), testkit.Increment)
	_, ofSession := own.Update(ctx, testkit.Increment)
	var listed error
	for _, err := range s.Keys(t.Context()) {
		listed = errors.Join(listed, err)
	}
	for name, err := range map[string]error{
		"Get": read, "Update": changed, "Update of a session": ofSession, "Keys": listed, "Check": app.Check(t.Context()),
	} {
		var e *stay.Error
		if !errors.As(err, &e) || e.Code != stay.ErrClosed || e.Message != "the app is closed" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A token that is too long to be one is not even decoded.
//
// Proves W1.
func TestTokensThatAreTooLongCostNothing(t *testing.T) {
	ring := access.AppOf(testkit.NewApp(t, memstore.New(), nil)).Keyring([][]byte{bytes.Repeat([]byte("k"), 32)})
	for _, size := range []int{513, 1024, 64 << 10} {
		value := strings.Repeat("A", size)
		if n := testing.AllocsPerRun(10, func() {
			if token, err := ring.Verify(t.Context(), value); token != nil || err != nil {
				t.Errorf("%v, %v", token, err)
			}
		}); n != 0 {
			t.Errorf("%d bytes: %v allocations", size, n)
		}
	}
}
