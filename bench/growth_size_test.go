package bench_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stay-go/stay"
)

// A document is a state that grows: with many small items, as a list does, or
// with one long text, as a draft does.
type document struct {
	Count int    `json:"count"`
	Text  string `json:"text"`
	Items []item `json:"items"`
}

type item struct {
	Title    string `json:"title"`
	Done     bool   `json:"done"`
	Priority int    `json:"priority"`
}

func text(size int) document { return document{Text: strings.Repeat("a", size)} }

// items returns a document of about size bytes, in items of about 100.
func items(size int) document {
	const each = 100
	title := strings.Repeat("a", each-len(`{"title":"","done":false,"priority":3},`))
	var d document
	for range size / each {
		d.Items = append(d.Items, item{Title: title, Priority: 3})
	}
	return d
}

var sizes = []struct {
	name  string
	bytes int
}{{"30B", 0}, {"1KB", 1 << 10}, {"8KB", 8 << 10}, {"64KB", 64 << 10}, {"256KB", 256 << 10}}

var shapes = []struct {
	name string
	fill func(size int) document
	from int // a shape is no different below it
}{
	{"items", items, 0},
	{"text", text, 8 << 10},
}

// BenchmarkSize shows what the size of a state costs. A change touches one
// number; it copies, encodes and stores the whole state all the same.
func BenchmarkSize(b *testing.B) {
	for _, shape := range shapes {
		for _, size := range sizes {
			if size.bytes < shape.from {
				continue
			}
			for _, st := range stores {
				full := shape.fill(size.bytes)
				encoded, err := json.Marshal(full)
				if err != nil {
					b.Fatal(err)
				}
				prepare := func(b *testing.B) *stay.State[document] {
					documents := stay.Register(newApp(b, st.open(b), stay.Options{}), stay.Module[document]{Name: "document", Persist: stay.Global})
					_, err := documents.Update(b.Context(), func(d *document) error {
						*d = full
						return nil
					})
					if err != nil {
						b.Fatal(err)
					}
					return documents
				}
				name := fmt.Sprintf("%s/%s/%s", shape.name, size.name, st.name)
				b.Run("Update/"+name, func(b *testing.B) {
					documents := prepare(b)
					b.SetBytes(int64(len(encoded)))
					run(b, 1, func(int, int) error {
						_, err := documents.Update(b.Context(), func(d *document) error {
							d.Count++
							return nil
						})
						return err
					})
				})
				if st.name != "memory" {
					continue // a read does not ask the store
				}
				b.Run("Get/"+name, func(b *testing.B) {
					documents := prepare(b)
					run(b, 1, func(int, int) error {
						_, err := documents.Get(b.Context())
						return err
					})
				})
			}
		}
	}
}
