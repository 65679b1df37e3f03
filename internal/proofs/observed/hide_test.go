package observed_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// files are a store of the simplest kind, whose errors name the files.
type files string

func (f files) Load(_ context.Context, key string) ([]byte, error) {
	value, err := os.ReadFile(filepath.Join(string(f), key))
	if errors.Is(err, fs.ErrNotExist) && f.there() {
		return nil, nil
	}
	return value, err
}

func (f files) Save(_ context.Context, key string, value []byte) error {
	return os.WriteFile(filepath.Join(string(f), key), value, 0o600)
}

func (f files) Delete(_ context.Context, key string) error {
	return os.Remove(filepath.Join(string(f), key))
}

func (f files) there() bool {
	_, err := os.Stat(string(f))
	return err == nil
}

// A failure of the store is reported without the name of the user whose state it
// was, whatever the store's cause says. Programs find the cause as before.
//
// Proves B3.
func TestFailuresOfTheStoreNameNobody(t *testing.T) {
	simple := func(t *testing.T) (store.Store, func()) {
		dir := filepath.Join(t.TempDir(), "there")
		testkit.NoError(t, os.Mkdir(dir, 0o700))
		return store.FromSimple(files(dir)), func() { testkit.NoError(t, os.RemoveAll(dir)) }
	}
	cases := map[string]func(t *testing.T) (s store.Store, broken func()){"FromSimple": simple}
	for form, fn := range map[string]func(string) string{
		"as it is":     func(key string) string { return key },
		"quoted":       func(key string) string { return fmt.Sprintf("%q", key) },
		"in its parts": func(key string) string { return strings.ReplaceAll(key, "/", " : ") },
	} {
		for what, op := range map[string]storefault.Op{"loads": storefault.Load, "commits": storefault.Commit} {
			cases[what+" "+form] = func(*testing.T) (store.Store, func()) {
				s := storefault.Wrap(memstore.New(), nil)
				return s, func() {
					for _, prefix := range []string{"stay/user/", "user/profile/"} {
						for _, user := range awkwardUsers {
							err := &fs.PathError{Op: "open", Path: "/data/" + fn(prefix+user) + "~", Err: fs.ErrPermission}
							s.Add(storefault.Rule{Op: op, Key: prefix + user, Fault: storefault.Fail(err)})
						}
					}
				}
			}
		}
	}
	for name, open := range cases {
		t.Run(name, func(t *testing.T) {
			for _, user := range awkwardUsers {
				st, broken := open(t)
				var out strings.Builder
				app := stay.New(st, &stay.Options{Logger: slog.New(slog.NewTextHandler(&out, nil)), Tracer: spanTexts{&out}})
				p, _ := testkit.UserModules(app)
				b := testkit.NewBrowser(app)
				testkit.MustUpdate(t, b.Ctx(), stay.Register(app, stay.Module[testkit.Counter]{Name: "own", Persist: stay.PerSession}))
				broken()
				_, err := p.At(user).Update(t.Context(), func(p *testkit.Profile) error { p.Name = "Ann"; return nil })
				var cause *fs.PathError
				if stay.CodeOf(err) != stay.ErrUnavailable && stay.CodeOf(err) != stay.ErrUnknown || !errors.As(err, &cause) {
					t.Fatalf("the change failed with %v", err)
				}
				ctx := b.Ctx()
				err2 := stay.SessionFrom(ctx).Login(ctx, user)
				if err2 == nil {
					t.Error("the login did not fail")
				}
				err3 := app.Revoke(t.Context(), user)
				fmt.Fprintf(&out, "%v %+v %#v %v %v", err, err, err, err2, err3)
				text, _ := json.Marshal(err)
				out.Write(text)
				_ = app.Close(context.Background())
				if strings.HasSuffix(name, "in its parts") && len(user) < 3 {
					continue // a word of any text
				}
				for _, form := range []string{user, strings.Trim(fmt.Sprintf("%q", user), `"`), strings.ReplaceAll(user, "@", "=40")} {
					if strings.Contains(out.String(), form) {
						t.Errorf("%q is in the log as %q: %s", user, form, out.String())
						break
					}
				}
				if !strings.Contains(out.String(), "key_hash=") || !strings.Contains(err.Error(), cause.Err.Error()) {
					t.Errorf("the log tells nothing: %s", out.String())
				}
			}
		})
	}
}

var awkwardUsers = []string{"ann.smith", "ann@example.com", "äöü", "a\nb", "bob7", "x-9", "Ann Smith", "q7"}

// spanTexts writes down what spans say of failures.
type spanTexts struct{ out *strings.Builder }

func (s spanTexts) Start(ctx context.Context, span *stay.Span) (context.Context, func()) {
	return ctx, func() { fmt.Fprintf(s.out, "%+v %v", *span, span.Err) }
}

// Text that is not the name of a user stays: a short name hides no other words.
func TestHidingNamesLeavesTheRest(t *testing.T) {
	st := storefault.Wrap(memstore.New(), nil)
	st.Add(storefault.Rule{Op: storefault.Commit, Match: testkit.StoresNoList, Fault: storefault.Fail(errors.New("cannot annotate: row state/ann of user ann is locked, code 7"))})
	app := testkit.NewApp(t, st, &stay.Options{OnError: func(*stay.Call, *stay.Error) {}})
	s := stay.Register(app, stay.Module[testkit.Counter]{Name: "state", Persist: stay.PerUser})
	_, err := s.At("ann").Update(t.Context(), testkit.Increment)
	var e *stay.Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	want := fmt.Sprintf("cannot annotate: row state/#%[1]s of user #%[1]s is locked, code 7", e.KeyHash)
	if !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %q, want %q in it", err, want)
	}
}
