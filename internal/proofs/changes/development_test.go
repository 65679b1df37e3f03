package changes_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store/memstore"
)

// In development, a change that is made inside another one, with the context of
// the request instead of the change's, is warned about. It is made all the same.
func TestDevelopmentWarnsOfAForeignContext(t *testing.T) {
	for _, development := range []bool{true, false} {
		var log bytes.Buffer
		app := testkit.NewApp(t, memstore.New(), &stay.Options{Development: development, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		outer := stay.Register(app, stay.Module[testkit.Counter]{Name: "outer", Persist: stay.Global})
		inner := stay.Register(app, stay.Module[testkit.Counter]{Name: "inner", Persist: stay.Global})
		ctx := t.Context()
		if _, err := outer.Update(ctx, testkit.Increment); err != nil {
			t.Fatal(err)
		}
		if _, err := inner.Update(ctx, testkit.Increment); err != nil {
			t.Fatal(err)
		}
		if log.Len() > 0 {
			t.Errorf("changes one after the other are warned about: %s", &log)
		}
		_, err := outer.Update(ctx, func(*testkit.Counter) error {
			_, err := inner.Update(ctx, testkit.Increment)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := inner.Get(ctx); err != nil || got.Count != 2 {
			t.Errorf("the inner change: %+v, %v", got, err)
		}
		if warned := strings.Contains(log.String(), "module=inner inside=outer"); warned != development {
			t.Errorf("development %t: the log says %q", development, &log)
		}
	}
}
