package store_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/stay-go/stay/store"
)

// A folder is a store.Simple with a file for each record.
type folder string

func (f folder) Load(_ context.Context, key string) ([]byte, error) {
	value, err := os.ReadFile(filepath.Join(string(f), key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return value, err
}

func (f folder) Save(_ context.Context, key string, value []byte) error {
	name := filepath.Join(string(f), key)
	if err := os.WriteFile(name+"~", value, 0o600); err != nil {
		return err
	}
	return os.Rename(name+"~", name) // the old value or the new one, never half
}

func (f folder) Delete(_ context.Context, key string) error {
	err := os.Remove(filepath.Join(string(f), key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// A custom store of three short methods. As it does not sync its files, it
// survives the end of the process but not a loss of power.
func ExampleFromSimple() {
	dir, err := os.MkdirTemp("", "stay")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()

	ctx := context.Background()
	s := store.FromSimple(folder(dir))
	created := s.Commit(ctx, []store.Group{{{Key: "greeting", Value: []byte("hello")}}})[0]
	again := s.Commit(ctx, []store.Group{{{Key: "greeting", Value: []byte("hi")}}})[0]
	fmt.Println(created.Outcome, again.Outcome)
	if err := s.Close(); err != nil {
		fmt.Println(err)
	}

	s = store.FromSimple(folder(dir))
	defer s.Close()
	recs, err := s.Load(ctx, []store.Read{{Key: "greeting"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", recs[0].Value)
	// Output:
	// applied conflict
	// hello
}
