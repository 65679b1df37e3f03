// Package storekit is what tests of stores share: short calls of a store,
// a call of Watch that can be asked, servers that several tests use, certificates,
// and the courses of tests that are the same for all of them.
package storekit

import (
	"context"
	"testing"
	"time"

	"github.com/stay-go/stay/store"
)

// Within returns a context that ends a test that hangs.
func Within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// One commits one group. It is for any goroutine.
func One(s store.Store, writes ...store.Write) store.Result {
	return s.Commit(context.Background(), []store.Group{writes})[0]
}

// Begin commits one group in the background, and passes on what comes of it.
func Begin(s store.Store, writes ...store.Write) <-chan store.Result {
	result := make(chan store.Result, 1)
	go func() { result <- One(s, writes...) }()
	return result
}

// Put commits one write that must be applied.
func Put(t testing.TB, s store.Store, key string, base store.Revision, value string) store.Revision {
	t.Helper()
	r := One(s, store.Write{Key: key, Base: base, Value: []byte(value)})
	if r.Outcome != store.Applied {
		t.Fatalf("put %q: %v: %v", key, r.Outcome, r.Err)
	}
	return r.Revisions[0]
}

// Load loads one record.
func Load(t testing.TB, s store.Store, key string) store.Record {
	t.Helper()
	records, err := s.Load(Within(t), []store.Read{{Key: key}})
	if err != nil {
		t.Fatal(err)
	}
	return records[0]
}

// Await waits until a condition holds that servers bring about.
func Await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for ctx := Within(t); !holds(); {
		if ctx.Err() != nil {
			t.Fatalf("waiting for %s", what)
		}
	}
}
