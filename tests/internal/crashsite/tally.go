package crashsite

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/stay-go/stay"
)

// A Tally counts for each browser what it did. Its parts must agree, so that a
// tally of which a part is missing or old shows it, and its length, which may
// be several pages of the database, follows from its sum.
type Tally struct {
	By  map[string]int `json:"by"`
	Sum int            `json:"sum"`
	Pad string         `json:"pad"`
}

// padding is what a tally with this sum is filled up with.
func padding(sum int) string {
	return strings.Repeat(string(rune('a'+sum%26)), sum*1237%9000)
}

// add counts one more for the browser that the request names, or as many as
// the parameter n says.
func (t *Tally) add(r *http.Request) error {
	by := r.FormValue("by")
	if by == "" {
		return stay.Invalid("by", "say which browser it is")
	}
	n, err := count(r, "n")
	if err != nil {
		return stay.Invalid("n", err.Error())
	}
	if t.By == nil {
		t.By = map[string]int{}
	}
	t.By[by] += n
	t.seal()
	return nil
}

// merge adds what another tally has.
func (t *Tally) merge(other *Tally) {
	for by, n := range other.By {
		if t.By == nil {
			t.By = map[string]int{}
		}
		t.By[by] += n
	}
	t.seal()
}

func (t *Tally) seal() {
	t.Sum = 0
	for _, n := range t.By {
		t.Sum += n
	}
	t.Pad = padding(t.Sum)
}

// whole reports whether the parts of the tally agree.
func (t *Tally) whole() bool {
	sum := 0
	for _, n := range t.By {
		sum += n
	}
	return sum == t.Sum && t.Pad == padding(sum)
}

// A Count is what is shown of a tally.
type Count struct {
	N      int      // of the browser that asks
	Others []string // the other browsers that are in it
	Whole  bool     // its parts agree
}

func (t *Tally) count(by string) Count {
	others := slices.Sorted(maps.Keys(t.By))
	others = slices.DeleteFunc(others, func(name string) bool { return name == by })
	return Count{N: t.By[by], Others: others, Whole: t.whole()}
}
