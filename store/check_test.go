package store_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stay-go/stay/store"
)

// Every mistake of a group is found, and the groups beside it stay valid.
//
// Proves C6.
func TestCheckGroupsFindsWhatNoStoreTakes(t *testing.T) {
	put := func(key string) store.Write { return store.Write{Key: key, Value: []byte("v")} }
	longest, tooLong := strings.Repeat("k", store.MaxKey), strings.Repeat("k", store.MaxKey+1)
	all := store.Features{Groups: true}
	bounded := store.Features{Groups: true, MaxValue: 4}
	for name, c := range map[string]struct {
		groups   []store.Group
		features store.Features
		want     []string // part of the error of each group; "" if there is none
	}{
		"no groups":                  {nil, all, nil},
		"one write":                  {[]store.Group{{put("a")}}, all, nil},
		"several writes":             {[]store.Group{{put("a"), put("b")}, {put("c")}}, all, nil},
		"several groups of one":      {[]store.Group{{put("a")}, {put("b")}}, store.Features{}, nil},
		"several writes, no groups":  {[]store.Group{{put("a")}, {put("b"), put("c")}}, store.Features{}, []string{"", "2 writes"}},
		"no writes":                  {[]store.Group{{}, {put("a")}, nil}, all, []string{"without writes", "", "without writes"}},
		"no operation":               {[]store.Group{{{Op: store.Check + 1, Key: "a"}}}, all, []string{"unknown operation 3"}},
		"no key":                     {[]store.Group{{put("a"), {Op: store.Check}}, {put("b")}}, all, []string{"empty key", ""}},
		"the longest key":            {[]store.Group{{put(longest)}}, all, nil},
		"a longer key":               {[]store.Group{{{Op: store.Delete, Key: tooLong}}, {put("a")}}, all, []string{"too large", ""}},
		"twice in a group":           {[]store.Group{{put("a"), put("b"), put("a")}, {put("c")}}, all, []string{"repeated", ""}},
		"twice in a call":            {[]store.Group{{put("a")}, {put("b"), put("a")}, {put("c")}}, all, []string{"", "repeated", ""}},
		"twice, once in what is bad": {[]store.Group{{put(""), put("a")}, {put("a")}}, all, []string{"empty key", "repeated"}},
		"two mistakes":               {[]store.Group{{put("a"), {Op: 9, Key: "b"}, put("")}}, all, []string{"unknown operation 9"}},
		"the largest value":          {[]store.Group{{{Key: "a", Value: make([]byte, 4), Meta: make([]byte, 4)}}}, bounded, nil},
		"a larger value":             {[]store.Group{{{Key: "a", Value: make([]byte, 5)}}, {put("b")}}, bounded, []string{"too large", ""}},
		"a larger meta":              {[]store.Group{{{Key: "a", Meta: make([]byte, 5)}}}, bounded, []string{"too large"}},
		"a value that is not put":    {[]store.Group{{{Op: store.Delete, Key: "a", Value: make([]byte, 5)}}}, bounded, nil},
		"no bound on values":         {[]store.Group{{{Key: "a", Value: make([]byte, 5)}}}, all, nil},
	} {
		errs := store.CheckGroups(c.groups, c.features)
		if len(errs) != len(c.want) {
			t.Errorf("%s: %v, want %d errors", name, errs, len(c.want))
			continue
		}
		for i, err := range errs {
			switch want := c.want[i]; {
			case want == "" && err == nil:
			case want == "" || err == nil || !strings.Contains(err.Error(), want):
				t.Errorf("%s: group %d: %v, want %q", name, i, err, want)
			case errors.Is(err, store.ErrTooLarge) != (want == "too large"):
				t.Errorf("%s: group %d: %v wraps ErrTooLarge, or should", name, i, err)
			}
		}
	}
}

// Nearly all calls have one write, which is valid.
func TestCheckGroupsOfOneWriteAllocatesNothing(t *testing.T) {
	groups := []store.Group{{{Key: "a", Value: []byte("v")}}}
	if n := testing.AllocsPerRun(100, func() { _ = store.CheckGroups(groups, store.Features{}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
