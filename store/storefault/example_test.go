package storefault_test

import (
	"context"
	"fmt"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// The second commit of a key is applied, but its caller does not get to know.
func Example() {
	s := storefault.Wrap(memstore.New(), nil)
	defer s.Close()
	s.Add(storefault.Rule{
		Op:    storefault.Commit,
		Key:   "counter",
		Skip:  1, // the first commit of the key goes well
		Times: 1, // and so do all after the second
		Fault: storefault.LoseAck(nil),
	})

	ctx := context.Background()
	var base store.Revision
	for n := range 3 {
		w := store.Write{Key: "counter", Base: base, Value: fmt.Append(nil, n)}
		res := s.Commit(ctx, []store.Group{{w}})[0]
		fmt.Println(n, res.Outcome)
		if res.Outcome == store.Applied {
			base = res.Revisions[0]
		}
	}
	recs, err := s.Load(ctx, []store.Read{{Key: "counter"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("stored: %s\n", recs[0].Value)
	// Output:
	// 0 applied
	// 1 unknown
	// 2 conflict
	// stored: 1
}
