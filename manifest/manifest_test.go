package manifest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/manifest"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

type cart struct {
	Items []string `json:"items"`
}

type account struct {
	ID   string `json:"id" stay:"key"`
	Name string `json:"name"`
}

func open(t *testing.T, s store.Store, o *stay.Options) *stay.App {
	t.Helper()
	app := stay.New(s, o)
	t.Cleanup(func() { _ = app.Close(context.Background()) })
	return app
}

// A manifest says of each module what a deployment depends on, and can be read
// again.
//
// Proves A18.
func TestManifestSaysWhatIsRegistered(t *testing.T) {
	app := open(t, memstore.New(), &stay.Options{MaxState: 5000})
	stay.Register(app, stay.Module[cart]{
		Name: "cart", Formerly: []string{"basket", "bag"}, Persist: stay.PerSession, Debounce: 2 * time.Second, Expiry: 36 * time.Hour,
		Version: 3, Migrate: map[int]func(json.RawMessage) (json.RawMessage, error){2: func(m json.RawMessage) (json.RawMessage, error) { return m, nil }},
		OnExpire: func(*stay.Call, *cart) {}, OnCreated: func(*stay.Call, *cart) error { return nil },
	})
	stay.Register(app, stay.Module[account]{Name: "account", Persist: stay.WithKey(func(a *account) string { return a.ID })})
	stay.Register(app, stay.Module[cart]{Name: "draft"})
	stay.Register(app, stay.Module[cart]{Name: "stock", Persist: stay.Global, Store: memstore.New()})
	features := memstore.New().Features()
	want := manifest.Manifest{
		Format: 1, MaxState: 5000, Store: manifest.Store{Type: "memstore.Store", Features: features},
		Modules: []manifest.Module{
			{Name: "account", Strategy: "WithKey", Version: 1, Oldest: 1},
			{
				Name: "cart", Formerly: []string{"basket", "bag"}, Strategy: "PerSession", Version: 3, Oldest: 2,
				Expiry: "36h0m0s", Debounce: "2s", Hooks: []string{"OnCreated", "OnExpire"},
			},
			{Name: "draft", Version: 1, Oldest: 1},
			{Name: "stock", Strategy: "Global", Version: 1, Oldest: 1, Store: &manifest.Store{Type: "memstore.Store", Features: features}},
		},
	}
	var text bytes.Buffer
	if err := manifest.Write(&text, app); err != nil {
		t.Fatal(err)
	}
	got, err := manifest.Read(bytes.NewReader(text.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the manifest is\n%s\nwant %+v", text.String(), want)
	}
}

// Reading refuses what is no manifest, what other versions have written, and what
// programs print besides.
//
// Proves A18.
func TestReadRefusesOtherText(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "this is no manifest",
		"listening on :3000":          "this is no manifest",
		`{"modules": []}`:             "it has no format",
		`{"format": 2}`:               "has format 2, and format 1 is known",
		`{"format": 1} listening`:     "something follows it",
		`{"format": 1, "modules": 7}`: "this is no manifest",
	} {
		if _, err := manifest.Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
