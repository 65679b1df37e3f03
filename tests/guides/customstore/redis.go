// Package customstore holds the programs of docs/custom-stores.md.
package customstore

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
)

// Redis keeps state in a Redis server that one process uses.
type Redis struct{ Client *redis.Client }

// Load implements store.Simple.
func (r Redis) Load(ctx context.Context, key string) ([]byte, error) {
	value, err := r.Client.Get(ctx, "stay:"+key).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return value, err
}

// Save implements store.Simple.
func (r Redis) Save(ctx context.Context, key string, value []byte) error {
	return r.Client.Set(ctx, "stay:"+key, value, 0).Err()
}

// Delete implements store.Simple.
func (r Redis) Delete(ctx context.Context, key string) error {
	return r.Client.Del(ctx, "stay:"+key).Err()
}

// Close is called once, by App.Close.
func (r Redis) Close() error { return r.Client.Close() }

// Profile is what must not be lost.
type Profile struct {
	Name string `json:"name"`
}

// Visits are counted for everybody.
type Visits struct {
	Count int `json:"count"`
}

// Register has the visits kept elsewhere than everything else.
func Register(app *stay.App, fast store.Store) (*stay.State[Profile], *stay.State[Visits]) {
	profile := stay.Register(app, stay.Module[Profile]{Name: "profile", Persist: stay.PerUser})
	visits := stay.Register(app, stay.Module[Visits]{
		Name:    "visits",
		Persist: stay.Global,
		Store:   fast,
	})
	return profile, visits
}
