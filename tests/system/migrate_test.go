package system_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/web"
)

// Tally is what Counter became: its second version has "count" as "total".
type Tally struct {
	Total int    `json:"total"`
	Text  string `json:"text"`
	Unit  string `json:"unit"`
}

func countToTotal(old json.RawMessage) (json.RawMessage, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(old, &m); err != nil {
		return nil, err
	}
	if string(m["count"]) == "13" {
		return nil, errors.New("nobody expected this")
	}
	m["total"] = m["count"]
	delete(m, "count")
	return json.Marshal(m)
}

// A new version of the program, with a new schema, goes on with what the old
// one left in the database, sessions included. It stores the new form with the
// first change and not with a read. A state whose step fails is a 500 for its
// owner alone; its record stays, and works when the step is mended. The old
// program refuses what the new one wrote, and leaves it alone.
//
// Proves A3, M3, M4.
func TestUpgradeOnSQLite(t *testing.T) {
	path := tempDB(t)
	old := serve(t, openSQLite(t, path), nil)
	reader, changer, victim := old.browser(), old.browser(), old.browser()
	for _, b := range []*browser{reader, changer, victim} {
		b.want("POST", "/click", 200, "1")
	}
	for n := 2; n <= 13; n++ {
		victim.want("POST", "/click", 200, fmt.Sprint(n))
	}
	keys := map[*browser]string{}
	for _, b := range []*browser{reader, changer, victim} {
		keys[b] = counterRows + b.id()
	}
	old.server.Close()
	closeApp(t, old.app)

	upgraded := func(s store.Store, step func(json.RawMessage) (json.RawMessage, error)) *site {
		x := &site{t: t, app: newApp(t, s, nil)}
		tally := stay.Register(x.app, stay.Module[Tally]{
			Name: "counter", Persist: stay.PerSession, Initial: Tally{Unit: "clicks"},
			Version: 2, Migrate: map[int]func(json.RawMessage) (json.RawMessage, error){1: step},
		})
		x.listen(web.Sessions(x.app, nil)(webTally(tally)))
		return x
	}
	db := openSQLite(t, path)
	before := map[*browser]store.Record{}
	for b, key := range keys {
		before[b] = recordOf(t, db, key)
	}
	x := upgraded(kept{db}, countToTotal)
	at := func(x *site, b *browser) *browser {
		c := x.browser()
		c.cookie = b.cookie
		return c
	}
	at(x, reader).want("GET", "/", 200, "1 clicks")
	at(x, changer).want("POST", "/click", 200, "2 clicks")
	if a := at(x, victim).do("POST", "/click"); a.status != 500 || !strings.Contains(a.body, "cannot be read") || strings.Contains(a.body, "expected") {
		t.Errorf("%v, want a 500 that says what is wrong, without the cause", a)
	}
	for b, want := range before {
		got := recordOf(t, db, want.Key)
		switch {
		case b == changer && (got.Version != 2 || string(got.Value) != `{"total":2,"text":"","unit":"clicks"}`):
			t.Errorf("the change stored version %d: %s", got.Version, got.Value)
		case b != changer && (got.Revision != want.Revision || got.Version != 1 || string(got.Value) != string(want.Value)):
			t.Errorf("version %d: %s became version %d: %s", want.Version, want.Value, got.Version, got.Value)
		}
	}
	x.server.Close()
	closeApp(t, x.app)

	mended := upgraded(kept{db}, func(v json.RawMessage) (json.RawMessage, error) {
		return json.RawMessage(strings.Replace(string(v), `"count"`, `"total"`, 1)), nil
	})
	at(mended, victim).want("POST", "/click", 200, "14 clicks")
	mended.server.Close()
	closeApp(t, mended.app)

	newer := recordOf(t, db, keys[changer])
	back := serve(t, kept{db}, nil)
	t.Cleanup(func() { _ = db.Close() })
	if a := at(back, changer).do("POST", "/click"); a.status != 500 {
		t.Errorf("the old program answers %v to a record of the new one", a)
	}
	at(back, reader).want("POST", "/click", 200, "2")
	if got := recordOf(t, db, newer.Key); got.Revision != newer.Revision || !got.Expires.After(time.Now()) {
		t.Errorf("the old program changed %+v to %+v", newer, got)
	}
}

func webTally(tally *stay.State[Tally]) http.Handler {
	show := func(w http.ResponseWriter, _ *http.Request, v *Tally) error {
		_, err := fmt.Fprint(w, v.Total, " ", v.Unit)
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", web.View(tally, show))
	mux.Handle("POST /click", web.Update(tally, func(w http.ResponseWriter, r *http.Request, v *Tally) error {
		v.Total++
		return show(w, r, v)
	}))
	return mux
}
