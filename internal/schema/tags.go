package schema

import (
	"slices"

	"github.com/stay-go/stay/internal/schema/jsonwalk"
)

// The words of a stay tag.
const (
	// preserve: Reset leaves the field alone. Top-level fields only.
	wordPreserve = "preserve"
	// key: the field names the owner. Top-level fields only.
	wordKey = "key"
	// private: the field is neither shown to clients nor bound.
	wordPrivate = "private"
)

// checkWords refuses words in the stay tag that would have no effect.
func checkWords(f *jsonwalk.Field, path string, top bool) error {
	for _, word := range f.Stay {
		switch word {
		case wordPrivate:
		case wordPreserve, wordKey:
			if !top {
				return refuse(path, "is tagged stay:%q, which works only on the fields of the state itself: tag the field of the state that holds it", word)
			}
		default:
			return refuse(path, "has the unknown word %q in its stay tag: use preserve, key or private, separated by commas", word)
		}
	}
	return nil
}

// tagged returns the fields of the state with one of the words.
func (n *node) tagged(words ...string) []field {
	var fields []field
	for _, f := range n.fields {
		if slices.ContainsFunc(words, f.Has) {
			fields = append(fields, f)
		}
	}
	return fields
}
