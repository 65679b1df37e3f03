package schema

import (
	"strings"
	"unicode"

	"github.com/stay-go/stay/internal/clone"
	"github.com/stay-go/stay/internal/schema/jsonwalk"
)

// A Stray is a member of a stored object that looks like the earlier name of a
// field, which is not in that object: a member from before the field got its
// json tag, or lost it. It is not read.
type Stray struct {
	// Stored is the name in the record.
	Stored string
	// Field is the Go field, as in Cart.Count, and Name its name in JSON.
	Field, Name string
}

// DecodeNoting is Decode that also returns what looks like fields of the state
// under names that they do not have any more.
func (s *Schema) DecodeNoting(b []byte) (v any, extra *Extra, strays []Stray, err error) {
	v, extra, err = s.decode(&input{Cursor: *jsonwalk.NewCursor(b), strays: &strays}, b)
	return v, extra, strays, err
}

// A stray is an unknown name and the position of the field that it looks like.
type stray struct {
	stored string
	field  int
}

func (n *node) stray(s stray) Stray {
	f := &n.fields[s.field]
	return Stray{Stored: s.stored, Field: clone.TypeName(n.typ) + "." + f.Path, Name: f.Name}
}

// spell notes how the field that is added next may have been called: by its Go
// name, which is that in JSON without a tag, and in the usual spellings of both.
func (n *node) spell(f *jsonwalk.Field) {
	if n.spelled == nil {
		n.spelled = make(map[string]int)
	}
	for _, name := range []string{f.Name, f.Path[strings.LastIndexByte(f.Path, '.')+1:]} {
		if _, taken := n.spelled[spelling(name)]; !taken {
			n.spelled[spelling(name)] = len(n.fields)
		}
	}
}

// spelling is what Count and count, and CreatedAt, createdAt and created_at,
// have in common.
func spelling(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
}
