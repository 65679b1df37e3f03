package observed_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// printings are the ways in which a program prints and logs a value.
func printings(v any) map[string]string {
	out := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%20v"} {
		out[verb] = fmt.Sprintf(verb, v)
	}
	var b bytes.Buffer
	log.New(&b, "", 0).Print(v)
	out["log"] = b.String()
	for name, h := range map[string]slog.Handler{"slog text": slog.NewTextHandler(&b, nil), "slog JSON": slog.NewJSONHandler(&b, nil)} {
		b.Reset()
		slog.New(h).Info("x", "it", v, slog.Group("g", "it", v))
		out[name] = b.String()
	}
	text, err := json.Marshal(v)
	out["JSON"] = fmt.Sprint(string(text), err)
	return out
}

// within returns the value inside the types that a program has.
func within(v any) map[string]any {
	all := map[string]any{
		"alone": v, "in a struct": struct{ It any }{v}, "hidden in a struct": struct{ it any }{v},
		"in a map": map[string]any{"it": v}, "in a slice": []any{v},
	}
	if p := reflect.ValueOf(v); p.Kind() == reflect.Pointer && p.Elem().Kind() == reflect.Struct {
		all["what it points to"] = p.Elem().Interface()
	} else {
		q := reflect.New(p.Type())
		q.Elem().Set(p)
		all["by pointer"] = q.Interface()
	}
	return all
}

// spellings are the ways in which a secret may be printed.
func spellings(secret string) []string {
	b := []byte(secret)
	decimals := strings.Trim(fmt.Sprintf("%d", b), "[]")
	return []string{
		secret, fmt.Sprintf("%x", b), fmt.Sprintf("%X", b), decimals, strings.ReplaceAll(decimals, " ", ","),
		fmt.Sprintf("%#v", b)[len("[]byte{"):], base64.StdEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b),
	}
}

// wantNoSecret prints a value in every way.
func wantNoSecret(t *testing.T, what string, v any, secrets map[string]string) {
	t.Helper()
	for where, v := range within(v) {
		for how, text := range printings(v) {
			for name, secret := range secrets {
				for _, spelling := range spellings(secret) {
					if spelling != "" && strings.Contains(text, strings.TrimSuffix(spelling, "}")) {
						t.Errorf("%s %s, printed by %s, shows the %s: %.300s", what, where, how, name, text)
					}
				}
			}
		}
	}
}

// Whichever value of Stay a program prints or logs, in the middle of a request
// of a logged-in user, it shows neither the cookie nor the user nor the user's
// data.
//
// Proves B3, W1.
func TestPrintingShowsNoSecret(t *testing.T) { synctest.Test(t, printsNoSecret) }

func printsNoSecret(t *testing.T) {
	mem := memstore.New()
	app := testkit.NewApp(t, mem, nil)
	var call *stay.Call
	secrets := map[string]string{"user": "ann.smith", "state": "hunter2-is-stored", "payload": "hunter2-is-sent"}
	check := func(what string, v any) {
		t.Helper()
		synctest.Wait() // fmt reads memory that the App's goroutines have just written
		wantNoSecret(t, what, v, secrets)
	}
	note := func(c *stay.Call, s *testkit.Counter) error {
		call = c
		check("a call", c)
		check("a call's context", c.Context())
		check("a call's session", c.Session())
		s.Count++
		return nil
	}
	module := func(name string, persist stay.Strategy) *stay.State[testkit.Counter] {
		return stay.Register(app, stay.Module[testkit.Counter]{Name: name, Persist: persist, Actions: stay.Actions[testkit.Counter]{"note": note}})
	}
	own, user := module("own", stay.PerSession), module("user", stay.PerUser)
	b := &secretBrowser{Browser: testkit.NewBrowser(app)}
	testkit.MustUpdate(t, b.ctx(), own)
	guest := b.ctx()
	testkit.WantCount(t, guest, own, 1)
	secrets["guest's cookie"] = b.Token
	ctx := b.ctx()
	testkit.NoError(t, stay.SessionFrom(ctx).Login(ctx, secrets["user"]))
	secrets["cookie"] = b.Token
	token, err := b.Ring.Verify(t.Context(), b.Token)
	testkit.NoError(t, err)
	secrets["id"] = string(token.ID[:])
	keys, err := mem.Load(t.Context(), []store.Read{{Key: "stay/keys"}})
	testkit.NoError(t, err)
	var stored struct{ Keys []struct{ Secret []byte } }
	testkit.NoError(t, json.Unmarshal(keys[0].Value, &stored))
	secrets["signing key"] = string(stored.Keys[0].Secret)

	ctx = b.ctx()
	testkit.Set(t, b.ctx(), user, testkit.Counter{Label: secrets["state"]})
	check("a session not used", stay.SessionFrom(ctx))
	for _, s := range []*stay.State[testkit.Counter]{own, user} {
		for _, payload := range []any{json.RawMessage(`"hunter2-is-sent"`), "hunter2-is-sent", map[string]string{"password": "hunter2-is-sent"}} {
			if _, err := s.Do(ctx, "note", payload); err != nil {
				t.Fatal(err)
			}
		}
	}
	for s, err := range app.Sessions(t.Context(), secrets["user"]) {
		testkit.NoError(t, err)
		check("a session of a list", s)
		check("a context with it", stay.WithSession(t.Context(), s))
	}
	recs, err := mem.Load(t.Context(), []store.Read{{Key: "user/user/ann.smith"}})
	if err != nil || !strings.Contains(string(recs[0].Value), secrets["state"]) {
		t.Fatal("the state is not there: ", err)
	}
	write := store.Write{Key: recs[0].Key, Value: recs[0].Value}
	simple := store.FromSimple(files(t.TempDir()))
	if res := simple.Commit(t.Context(), []store.Group{{write}}); res[0].Outcome != store.Applied {
		t.Fatal(res[0])
	}
	for what, v := range map[string]any{
		"the session": stay.SessionFrom(ctx), "the guest's session": stay.SessionFrom(guest), "the context": ctx,
		"an action's call": call, "a state": user, "the state of a user": user.At(secrets["user"]), "any state": stay.AnyState(user.At(secrets["user"])),
		"the keys": b.Ring, "the store": mem, "a store of ours": simple, "a store with faults": storefault.Wrap(mem, nil),
		"a door": access.AppOf(app),
	} {
		check(what, v)
	}
	for how, text := range printings(app) { // by value it cannot be had
		if how != "JSON" && how != "slog JSON" && !strings.Contains(text, "stay.App") {
			t.Errorf("an App, printed by %s, is %s", how, text)
		}
	}
	// As JSON, and in their fields, records show their contents, for backups.
	for what, v := range map[string]any{
		"a token": *token, "a record": recs[0], "a write": write, "a read": store.Read{Key: recs[0].Key},
		"a group": store.Group{write}, "records": recs,
	} {
		for how, text := range printings(v) {
			nested := what == "a group" || what == "records"
			if how == "JSON" || nested && how == "slog JSON" {
				continue
			}
			for name, secret := range secrets {
				for _, spelling := range spellings(secret) {
					if strings.Contains(text, spelling) {
						t.Errorf("%s, printed by %s, shows the %s: %q", what, how, name, text)
					}
				}
			}
		}
	}
}

// A secretBrowser adds nothing to a printed value.
type secretBrowser struct{ *testkit.Browser }

func (b *secretBrowser) ctx() context.Context {
	return b.App.Begin(context.Background(), b.Ring, b.Token, taker(func(token string) { b.Token = token }))
}

// A taker is the response that brings a token.
type taker func(token string)

func (t taker) Issue(token string, _ time.Time) bool { t(token); return true }
func (taker) Used()                                  {}
func (taker) Open() bool                             { return true }

// A logged session shows the name that errors give it as well, and waits for
// nothing.
func TestSessionInLogs(t *testing.T) {
	app := testkit.NewSessionApp(t)
	b := testkit.NewBrowser(app.App)
	ctx, r := b.Request()
	s := stay.SessionFrom(ctx)
	if got := s.String(); got != "session (not used)" || len(r.Issued) > 0 || r.WasUsed {
		t.Errorf("it is %q, with the cookies %q", got, r.Issued)
	}
	testkit.MustUpdate(t, ctx, app.Clicks)
	_, err := app.Clicks.At(s.ID()).Update(t.Context(), func(c *testkit.Counter) error { c.Label = strings.Repeat("x", 2<<20); return nil })
	var e *stay.Error
	if !errors.As(err, &e) || s.String() != "session "+e.KeyHash {
		t.Errorf("it is %q, in errors %v", s, err)
	}
	if got := fmt.Sprintf("%v %d", (*stay.Session)(nil), s); got != "no session "+s.String() {
		t.Errorf("printed they are %q", got)
	}
	r.OnIssue = func() {
		if got := s.String(); got != "session (in use)" {
			t.Errorf("in the middle of its work it is %q", got)
		}
	}
	testkit.NoError(t, s.Renew(ctx))
}
