package stay_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stay-go/stay/internal/golden"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// The conformance cases in testdata/golden hold. The rules that each proves
// are named in it.
func TestGolden(t *testing.T) {
	golden.Run(t, "testdata/golden", golden.Harness{
		Open:     func(testing.TB) store.Store { return memstore.New() },
		FakeTime: true,
	})
}

// The same cases hold on a store of three methods.
//
// Proves A13.
func TestGoldenSimple(t *testing.T) {
	golden.Run(t, "testdata/golden", golden.Harness{
		Open:     func(testing.TB) store.Store { return store.FromSimple(&simpleMap{values: map[string][]byte{}}) },
		FakeTime: true,
	})
}

// A simpleMap is a store.Simple in memory.
type simpleMap struct {
	mu     sync.Mutex
	values map[string][]byte
}

func (m *simpleMap) Load(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values[key], nil
}

func (m *simpleMap) Save(_ context.Context, key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[key] = value
	return nil
}

func (m *simpleMap) Delete(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, key)
	return nil
}
