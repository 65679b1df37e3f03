package keys_test

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

type keyedMark struct {
	Key  []byte `json:"key" stay:"key"`
	Mark int    `json:"mark"`
}

type mark struct {
	Mark int `json:"mark"`
}

// A marker writes and reads a number in one state.
type marker struct {
	write func(n int) error
	read  func() (int, error)
}

// The ways to own a state.
const (
	ofSession = iota
	ofUser
	ofAll
	ofKey
	ofGuest
	ofLoggedIn
	owners
)

func plainMarker(ctx context.Context, s *stay.State[mark]) marker {
	return marker{
		write: func(n int) error {
			_, err := s.Update(ctx, func(m *mark) error { m.Mark = n; return nil })
			return err
		},
		read: func() (int, error) {
			m, err := s.Get(ctx)
			if err != nil {
				return 0, err
			}
			return m.Mark, nil
		},
	}
}

func keyedMarker(ctx context.Context, s *stay.State[keyedMark], key []byte) marker {
	return marker{
		write: func(n int) error {
			_, err := s.Update(ctx, func(m *keyedMark) error { m.Key, m.Mark = key, n; return nil })
			return err
		},
		read: func() (int, error) {
			m, err := s.Get(ctx)
			if err != nil {
				return 0, err
			}
			return m.Mark, nil
		},
	}
}

// newMarker registers a module, or finds it, and returns a marker of the state
// that has the owner and key; nil if there can be none.
func newMarker(t *testing.T, app *stay.App, known map[string]any, name string, how int, key []byte) *marker {
	t.Helper()
	b := testkit.NewBrowser(app)
	id := name + "/" + string(rune('0'+how))
	var m marker
	switch how {
	case ofKey, ofGuest:
		id = name + "/" + string(rune('0'+ofKey))
		s, _ := known[id].(*stay.State[keyedMark])
		if s == nil {
			s = stay.Register(app, stay.Module[keyedMark]{Name: name, Persist: stay.WithKey(func(k *keyedMark) string { return string(k.Key) })})
			known[id] = s
		}
		if how == ofGuest {
			m = keyedMarker(b.Ctx(), s, nil)
		} else if len(key) > 0 {
			m = keyedMarker(t.Context(), s.At(string(key)), key)
		}
	default:
		persist := []stay.Strategy{ofSession: stay.PerSession, ofUser: stay.PerUser, ofAll: stay.Global, ofLoggedIn: stay.PerUser}[how]
		if how == ofLoggedIn {
			id = name + "/" + string(rune('0'+ofUser))
		}
		s, _ := known[id].(*stay.State[mark])
		if s == nil {
			s = stay.Register(app, stay.Module[mark]{Name: name, Persist: persist})
			known[id] = s
		}
		switch {
		case how == ofSession, how == ofAll:
			m = plainMarker(b.Ctx(), s)
		case len(key) == 0:
		case how == ofUser:
			m = plainMarker(t.Context(), s.At(string(key)))
		default:
			testkit.Login(t, b, string(key))
			m = plainMarker(b.Ctx(), s)
		}
	}
	if m.write == nil {
		return nil
	}
	return &m
}

// States of different modules, strategies and keys are never one, whatever
// bytes keys hold.
//
// Proves A4, A6, A12.
func FuzzKeysOfStates(f *testing.F) {
	f.Add("a", uint8(ofUser), []byte("x"), "a", uint8(ofUser), []byte("x/"))
	f.Add("a", uint8(ofUser), []byte("b/x"), "a.b", uint8(ofKey), []byte("x"))
	f.Add("key", uint8(ofAll), []byte(""), "global", uint8(ofKey), []byte("key/"))
	f.Add("session", uint8(ofGuest), []byte(""), "user", uint8(ofUser), []byte("stay/session/"))
	f.Add("a", uint8(ofLoggedIn), []byte("\x00\xff"), "A", uint8(ofSession), []byte("../a"))
	f.Add(strings.Repeat("n", 64), uint8(ofKey), bytes.Repeat([]byte{'k'}, 512), strings.Repeat("n", 64), uint8(ofKey), bytes.Repeat([]byte{'k'}, 511))
	f.Add(strings.Repeat("n", 64), uint8(ofUser), bytes.Repeat([]byte{0xff}, 512), "n", uint8(ofLoggedIn), bytes.Repeat([]byte{0xff}, 512))
	valid := regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$`)
	f.Fuzz(func(t *testing.T, name1 string, how1 uint8, key1 []byte, name2 string, how2 uint8, key2 []byte) {
		h1, h2 := int(how1%owners), int(how2%owners)
		kind := func(h int) int {
			return map[int]int{ofGuest: ofKey, ofLoggedIn: ofUser}[h] + h*btoi(h != ofGuest && h != ofLoggedIn)
		}
		if !valid.MatchString(name1) || !valid.MatchString(name2) || len(key1) > 512 || len(key2) > 512 || name1 == name2 && kind(h1) != kind(h2) {
			return
		}
		same := name1 == name2 && kind(h1) == kind(h2) && h1 != ofGuest && h2 != ofGuest && (h1 == ofAll || h1 != ofSession && bytes.Equal(key1, key2))
		st := memstore.New()
		app := testkit.NewApp(t, st, &stay.Options{Guests: stay.GuestStored})
		known := map[string]any{}
		one := newMarker(t, app, known, name1, h1, key1)
		two := newMarker(t, app, known, name2, h2, key2)
		if one == nil || two == nil {
			return
		}
		before := len(states(t, st))
		for i, m := range []*marker{one, two} {
			if err := m.write(i + 1); err != nil {
				t.Fatal(err)
			}
		}
		want := 1
		if same {
			want = 2
		}
		if got, err := one.read(); err != nil || got != want {
			t.Errorf("the first state holds %d, want %d (%v)", got, want, err)
		}
		if got, err := two.read(); err != nil || got != 2 {
			t.Errorf("the second state holds %d (%v)", got, err)
		}
		if n := len(states(t, st)) - before; n != 3-want {
			t.Errorf("%d records are stored", n)
		}
	})
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// states are the keys of states in the store, none of which may be longer than
// every store takes.
func states(t *testing.T, st store.Store) (keys []string) {
	t.Helper()
	for _, key := range testkit.Rows(t, st) {
		if len(key) > store.MaxKey {
			t.Errorf("a key has %d bytes", len(key))
		}
		if !strings.HasPrefix(key, "stay/") {
			keys = append(keys, key)
		}
	}
	return keys
}
