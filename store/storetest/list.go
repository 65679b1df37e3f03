package storetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stay-go/stay/store"
)

var listRules = []rule{
	{
		name:  "List order and paging",
		why:   "Keys come in ascending byte order, after the given key and up to the limit; fewer keys than the limit mean the end.",
		needs: needs{list: true},
		check: func(e *env) {
			want := e.fill(listKeys)
			e.wantList("", want)
			for _, key := range want {
				i := slices.Index(want, key)
				if got := e.list("", key, 1000); !slices.Equal(got, want[i+1:]) {
					e.t.Errorf("List after %q: %q, want %q", key, got, want[i+1:])
				}
			}
			if got := e.list("", "ab\x00\x00", 3); !slices.Equal(got, after(want, "ab\x00\x00")[:3]) {
				e.t.Errorf("List after a key that does not exist: %q", got)
			}
			if got := e.list("", "", 0); len(got) != 0 {
				e.t.Errorf("List with limit 0: %q", got)
			}
		},
	},
	{
		name: "List prefix",
		why: "A prefix is compared byte by byte and matches itself; it is not a pattern, and one that ends in 0xff has no " +
			"successor of its own length.",
		needs: needs{list: true},
		check: func(e *env) {
			all := e.fill(listKeys)
			for _, prefix := range []string{
				"a", "ab", "ab\x00", "A", "a%", "a_", "a*", "a?", "[", "\x00", "\xff", "\xff\xff", "z\xff", "z\xff\xff", "é", "\xc3", "none",
			} {
				e.wantList(prefix, matching(all, prefix))
			}
		},
	},
	{
		name: "List after outside the prefix",
		why: "The given key may be before all keys with the prefix or after them; it is a bound like the prefix, " +
			"not a place to start from.",
		needs: needs{list: true},
		check: func(e *env) {
			all := e.fill(listKeys)
			for _, bound := range []string{"", "A", "ab", "b", "\xff\xff\xff"} {
				want := after(matching(all, "ab"), bound)
				if got := e.list("ab", bound, 1000); !slices.Equal(got, want) {
					e.t.Errorf("List(%q) after %q: %q, want %q", "ab", bound, got, want)
				}
			}
		},
	},
	{
		name:  "List present only",
		why:   "Deleted keys are not listed, nor are keys that have expired at the time of the call.",
		needs: needs{list: true},
		check: func(e *env) {
			e.put1("a", 0, "x")
			e.apply(del("b", e.put1("b", 0, "x")))
			e.apply(expiring("c", 0, "x", e.now.Add(time.Second)))
			e.wantList("", []string{"a", "c"})
			e.advance(time.Second)
			e.wantList("", []string{"a"})
			e.advance(-time.Nanosecond)
			e.wantList("", []string{"a", "c"})
			e.advance(time.Hour)
			e.put1("c", e.load("c").Revision, "x")
			e.wantList("", []string{"a", "c"})
		},
	},
	{
		name:  "List many",
		why:   "Any limit works, and expired keys do not use it up: a page is short only at the end.",
		needs: needs{list: true},
		check: func(e *env) {
			groups := make([]store.Group, 500)
			var want []string
			for i := range groups {
				key := fmt.Sprintf("key%03d", i)
				groups[i] = store.Group{put(key, 0, "x")}
				if i%10 != 0 {
					groups[i][0].Expires = e.now.Add(time.Second)
				} else {
					want = append(want, key)
				}
			}
			e.commit(groups...)
			e.advance(time.Hour)
			e.wantList("key", want)
		},
	},
}

var listKeys = []string{
	"a", "ab", "ab\x00", "ab\x00c", "ab\x01", "abc", "ab\xff", "ab\xff\xff", "b", "A", "AB", "a%b", "a_b", "a*", "a?c", "[a]",
	"\x00", "\x00\x00", "\xff", "\xff\xff", "\xff\xff\xff", "z\xff", "z\xffa", "z\xff\xff", "é", "\xc3", "\xc3(", "日本", " ", "'", "\"", "\\",
	strings.Repeat("k", store.MaxKey),
}

// fill puts the keys, last one first, and returns them in byte order.
func (e *env) fill(keys []string) []string {
	e.t.Helper()
	for _, key := range slices.Backward(keys) {
		e.put1(key, 0, "x")
	}
	return slices.Sorted(slices.Values(keys))
}

// wantList reads all pages, in several sizes.
func (e *env) wantList(prefix string, want []string) {
	e.t.Helper()
	for _, limit := range []int{1, 3, 1000, 1 << 30} {
		var got []string
		for last := ""; ; {
			page := e.list(prefix, last, limit)
			got = append(got, page...)
			if len(page) < limit {
				break
			}
			if len(page) > limit || page[limit-1] <= last || len(got) > len(want) {
				e.t.Fatalf("List(%q, %q, %d): %q", prefix, last, limit, page)
			}
			last = page[limit-1]
		}
		if !slices.Equal(got, want) {
			e.t.Errorf("List(%q) by %d: %q, want %q", prefix, limit, got, want)
		}
	}
}

func matching(keys []string, prefix string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return !strings.HasPrefix(k, prefix) })
}

func after(keys []string, bound string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return k <= bound })
}
