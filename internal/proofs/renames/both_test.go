package renames_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

// Where a key has states under both names the one under the present name counts,
// and the other stays as it is. The module's hook and the log are told once, by a
// hash of the key.
//
// Proves M6, A21, M3.
func TestTheNewestNameCounts(t *testing.T) {
	for what, hook := range map[string]bool{"OnError": true, "no hook": false} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := memstore.New()
				for _, user := range []string{"margaret", "margaery"} {
					put(t, s, "user/old/"+user, `{"count":5}`)
					put(t, s, "user/new/"+user, `{"count":1}`)
				}
				put(t, s, "user/old/bob", `{"count":5}`)
				var log bytes.Buffer
				var told []*stay.Error
				app := testkit.NewApp(t, s, &stay.Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), Guests: stay.GuestStored})
				m := renamed(stay.PerUser)
				m.Formerly = []string{"older", "old"}
				if hook {
					m.OnError = func(c *stay.Call, e *stay.Error) {
						if c.Module() != "new" {
							t.Errorf("the call is one of %q", c.Module())
						}
						told = append(told, e)
					}
				}
				own := stay.Register(app, m)
				other := stay.Register(app, stay.Module[testkit.Counter]{Name: "other", Persist: stay.PerSession})
				testkit.WantCount(t, t.Context(), own.At("bob"), 5)
				put(t, s, "user/older/margarita", `{"count":7}`)
				synctest.Wait()
				if log.Len() > 0 || len(told) > 0 {
					t.Errorf("one state under a former name is told of: %s %v", &log, told)
				}
				for _, user := range []string{"margaret", "margaery"} {
					testkit.WantCount(t, t.Context(), own.At(user), 1)
					testkit.MustUpdate(t, t.Context(), own.At(user))
					testkit.WantCount(t, t.Context(), own.At(user), 2)
					if rec := testkit.RecordOf(t, s, "user/old/"+user); string(rec.Value) != `{"count":5}` {
						t.Errorf("the other state is %q", rec.Value)
					}
				}
				put(t, s, "user/old/margarita", `{"count":5}`)
				testkit.WantCount(t, t.Context(), own.At("margarita"), 5)
				b := testkit.NewBrowser(app)
				testkit.MustUpdate(t, b.Ctx(), other)
				for _, name := range []string{"old", "new"} {
					put(t, s, "guest/"+name+"/"+stay.SessionFrom(b.Ctx()).ID(), `{"count":1}`)
				}
				testkit.WantCount(t, b.Ctx(), own, 1)
				synctest.Wait()
				lines := strings.Count(log.String(), "level=WARN")
				if lines != 1 || strings.Contains(log.String(), "level=ERROR") || strings.Contains(log.String(), "marga") {
					t.Errorf("logged is\n%s", &log)
				}
				if !hook {
					return
				}
				if len(told) != 1 || told[0].Code != stay.ErrConflict || told[0].Phase != "load" || told[0].Module != "new" ||
					told[0].KeyHash == "" || !strings.Contains(log.String(), told[0].KeyHash) || strings.Contains(told[0].Error(), "marga") {
					t.Errorf("OnError was told %v", told)
				}
			})
		})
	}
}

// Register refuses former names that cannot be looked for.
//
// Proves M6, C5.
func TestRegisterRefusesFormerNamesThatClash(t *testing.T) {
	module := func(name string, formerly ...string) stay.Module[testkit.Counter] {
		return stay.Module[testkit.Counter]{Name: name, Formerly: formerly, Persist: stay.PerUser}
	}
	for what, c := range map[string]struct {
		first, then stay.Module[testkit.Counter]
		words       []string
	}{
		"its own name":          {module("x"), module("m", "a", "m"), []string{"Formerly", "own name", "remove it"}},
		"twice":                 {module("x"), module("m", "a", "b", "a"), []string{`Formerly has "a" twice`, "remove one"}},
		"not a name":            {module("x"), module("m", "a/b"), []string{`former name "a/b" is not valid`, "1 to 64 letters"}},
		"empty":                 {module("x"), module("m", ""), []string{`former name "" is not valid`}},
		"too many":              {module("x"), module("m", "a", "b", "c", "d"), []string{"Formerly has 4 names", "at most 3", "remove the oldest"}},
		"another module's name": {module("x"), module("m", "x"), []string{`Formerly has "x"`, "name of another module", "remove it"}},
		"another's former name": {module("x", "a"), module("m", "a"), []string{`Formerly has "a"`, `module "x"`, "remove it from one"}},
		"the name is a former":  {module("x", "m"), module("m"), []string{`module "m"`, `a former one of module "x"`, "use another name"}},
	} {
		t.Run(what, func(t *testing.T) {
			app := testkit.NewApp(t, memstore.New(), nil)
			stay.Register(app, c.first)
			testkit.WantPanic(t, func() { stay.Register(app, c.then) }, append(c.words, "stay.Register: module")...)
			stay.Register(app, module("fine", "d"))
		})
	}
}
