// Package manifest says what an application registers, for the command "stay
// deploy", which plans from it what the application needs where it runs.
//
// A program prints its manifest when it is started with the flag -manifest, and
// ends:
//
//	if *printManifest {
//		return manifest.Write(os.Stdout, app)
//	}
//
// The modules have to be registered by then. The App may stand on memstore, so that
// nothing has to be there to print it. A manifest holds names, durations and
// features: no keys, no secrets, no states and no addresses.
package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/store"
)

// Format is the version of what Write writes and Read reads.
const Format = 1

// A Manifest is what an App consists of.
type Manifest struct {
	Format int `json:"format"`
	// Store is the store of the App.
	Store Store `json:"store"`
	// MaxState is Options.MaxState, in bytes.
	MaxState int `json:"maxState"`
	// Modules are all modules, by name.
	Modules []Module `json:"modules"`
}

// A Store is a store with its features.
type Store struct {
	// Type is its type in Go, "sqlitestore.Store" for example.
	Type     string         `json:"type"`
	Features store.Features `json:"features"`
}

// A Module is a registered module; see [stay.Module].
type Module struct {
	Name     string   `json:"name"`
	Formerly []string `json:"formerly,omitempty"` // the oldest first
	// Strategy is its name in package stay; "" for ephemeral states.
	Strategy string `json:"strategy,omitempty"`
	// Version is that of the schema, and Oldest the oldest that can be read.
	Version int `json:"version"`
	Oldest  int `json:"oldest"`
	// Expiry and Debounce are as time.Duration prints them; "" means 0.
	Expiry   string `json:"expiry,omitempty"`
	Debounce string `json:"debounce,omitempty"`
	// Hooks are the names of the hooks that are set, "OnExpire" for example.
	Hooks []string `json:"hooks,omitempty"`
	// Store is the module's own store; nil means the App's.
	Store *Store `json:"store,omitempty"`
}

// Of returns the manifest of an App with the modules that are registered now. It
// asks no store. It may be called concurrently with everything else, also after
// App.Close.
func Of(app *stay.App) Manifest {
	in := access.Inspect(app)
	about := in.About()
	m := Manifest{Format: Format, Store: storeOf(about.Store), MaxState: about.MaxState, Modules: []Module{}}
	for _, mod := range in.Modules() {
		out := Module{
			Name: mod.Name, Formerly: mod.Formerly, Strategy: mod.Strategy, Version: mod.Version, Oldest: mod.Oldest,
			Expiry: text(mod.Expiry), Debounce: text(mod.Debounce), Hooks: mod.Hooks,
		}
		if mod.OwnStore {
			own := storeOf(mod.Store)
			out.Store = &own
		}
		m.Modules = append(m.Modules, out)
	}
	return m
}

func storeOf(s access.Store) Store { return Store{Type: s.Type, Features: s.Features} }

func text(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// Write writes the manifest of an App to w, as JSON.
func Write(w io.Writer, app *stay.App) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(Of(app))
}

// Read reads a manifest. It fails on text that is no manifest, on one of another
// format, and if anything follows it.
func Read(r io.Reader) (Manifest, error) {
	in := json.NewDecoder(r)
	var m Manifest
	if err := in.Decode(&m); err != nil {
		return Manifest{}, fmt.Errorf("this is no manifest: %w", err)
	}
	switch {
	case m.Format == 0:
		return Manifest{}, errors.New("this is no manifest: it has no format")
	case m.Format != Format:
		return Manifest{}, fmt.Errorf("the manifest has format %d, and format %d is known: use the versions of the program's Stay and of this command together", m.Format, Format)
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return Manifest{}, errors.New("this is no manifest: something follows it")
	}
	return m, nil
}
