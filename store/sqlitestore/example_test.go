package sqlitestore_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/sqlitestore"
)

// Programs hand the store to stay.New. This one uses it by itself: it writes,
// starts again and finds its record.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "app.db")
	ctx := context.Background()

	s, err := sqlitestore.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	results := s.Commit(ctx, []store.Group{
		{{Key: "greeting", Value: []byte("hello")}},
		{{Key: "farewell", Base: 7, Value: []byte("bye")}}, // nothing has revision 7
	})
	for _, r := range results {
		fmt.Println(r.Outcome, r.Revisions)
	}
	if err := s.Close(); err != nil {
		log.Fatal(err)
	}

	s, err = sqlitestore.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	records, err := s.Load(ctx, []store.Read{{Key: "greeting"}, {Key: "farewell"}})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range records {
		fmt.Printf("%s: revision %d, %q\n", r.Key, r.Revision, r.Value)
	}

	// Output:
	// applied [1]
	// conflict []
	// greeting: revision 1, "hello"
	// farewell: revision 0, ""
}

// Several processes of one machine use one file.
func ExampleShared() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "app.db")

	for range 2 { // in production, each is in a separate process
		s, err := sqlitestore.Open(path, sqlitestore.Shared())
		if err != nil {
			log.Fatal(err)
		}
		defer s.Close()
		fmt.Println("sole owner:", s.Features().SoleOwner)
	}
	_, err = sqlitestore.Open(path, sqlitestore.OwnerWait(0))
	fmt.Println("a third that does not share is refused:", err != nil)

	// Output:
	// sole owner: false
	// sole owner: false
	// a third that does not share is refused: true
}
