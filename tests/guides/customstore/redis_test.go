package customstore_test

import (
	"context"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storetest"
	"github.com/stay-go/stay/tests/guides/customstore"
)

func open(server *miniredis.Miniredis) store.Store {
	return store.FromSimple(customstore.Redis{Client: redis.NewClient(&redis.Options{Addr: server.Addr()})})
}

// What FromSimple makes of the store of the guide keeps the rules.
//
// Proves C1, C2, C3, C4, C5, C6, C7.
func TestRedis(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		New: func(t *testing.T) func(*testing.T) store.Store {
			server := miniredis.RunT(t) // an empty place
			return func(*testing.T) store.Store {
				return open(server)
			}
		},
	})
}

// An application on it, with a module in another store; a new process finds
// everything.
//
// Proves A3, A13.
func TestGuideOfCustomStores(t *testing.T) {
	server, fast := miniredis.RunT(t), miniredis.RunT(t)
	for n := 1; n <= 2; n++ {
		app := stay.New(open(server), nil)
		profile, visits := customstore.Register(app, open(fast))
		ctx := t.Context()
		if _, err := profile.At("ann").Update(ctx, func(p *customstore.Profile) error {
			p.Name += "Ann"
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := visits.Update(ctx, func(v *customstore.Visits) error { v.Count++; return nil }); err != nil {
			t.Fatal(err)
		}
		p, err := profile.At("ann").Get(ctx)
		if err != nil || p.Name != strings.Repeat("Ann", n) {
			t.Errorf("%v, %v", p, err)
		}
		v, err := visits.Get(ctx)
		if err != nil || v.Count != n {
			t.Errorf("%v, %v", v, err)
		}
		if err := app.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if keys := server.Keys(); len(keys) != 2 || keys[0] != "stay:stay=2fmodules" || !strings.HasPrefix(keys[1], "stay:user=2fprofile=2fann") {
		t.Errorf("keys %q", keys)
	}
	if keys := fast.Keys(); len(keys) != 1 {
		t.Errorf("keys %q", keys)
	}
}

// What a store lacks is told when the program starts.
//
// Proves C5.
func TestGuideOfRefusals(t *testing.T) {
	app := stay.New(memstore.New(), nil)
	defer app.Close(context.Background())
	refused := func(word string, register func()) {
		t.Helper()
		defer func() {
			t.Helper()
			if text, _ := recover().(string); !strings.Contains(text, word) {
				t.Errorf("%q does not say %q", text, word)
			}
		}()
		register()
	}
	refused("remove Store", func() {
		stay.Register(app, stay.Module[customstore.Profile]{Name: "p", Persist: stay.PerUser, Store: memstore.New()})
	})
	refused("OnExpire", func() {
		stay.Register(app, stay.Module[customstore.Visits]{
			Name: "v", Persist: stay.PerSession, OnExpire: func(*stay.Call, *customstore.Visits) {},
			Store: store.FromSimple(customstore.Redis{Client: redis.NewClient(&redis.Options{})}),
		})
	})
}
