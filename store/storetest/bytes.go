package storetest

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/stay-go/stay/store"
)

// awkward are byte strings that text columns, patterns, paths, protocols and
// escapings are known to change, or to confuse with another.
var awkward = []string{
	"\x00", "\x00\x00", "a\x00", "a\x00b", "a", "A", "a ", " a", "á", "a\u0301", "\xff", "\xff\xfe", "\xc3", "\xed\xa0\x80",
	"\r\n", "\n", "\t", "'", "''", `"`, `\`, `\x00`, "%", "%00", "%2f", "_", "*", "?", "[a]", "$1", "{a}", ":", "/", "//", "../a", ".", "..",
	"a/b", "a.b", "a.b.c", ">", "a>", "null", "0", "-1", "1e3", "con", "日本語", "🙂", "\u202e", "~", "~a", "=", "+", "-", "=00",
}

// longestMeta is how many bytes of Meta Stay writes at most.
const longestMeta = 4259

var byteRules = []rule{
	{
		name: "C6 any key",
		why:  "Keys are bytes: different bytes are different keys, and the store takes every key and returns it unchanged.",
		check: func(e *env) {
			keys := slices.Clone(awkward)
			for b := range 256 {
				keys = append(keys, "byte "+string([]byte{byte(b)}))
			}
			for _, n := range []int{63, 64, 65, 127, 128, 199, 200, 201, 255, 256, 257, 511, 512, 768, store.MaxKey - 1, store.MaxKey} {
				keys = append(keys, strings.Repeat("k", n), strings.Repeat("\xff", n), strings.Repeat("\x00", n-1)+"x")
			}
			slices.Sort(keys)
			keys = slices.Compact(keys)
			groups := make([]store.Group, len(keys))
			for i, key := range keys {
				groups[i] = store.Group{put(key, 0, fmt.Sprintf("value of %q", key))}
			}
			results := e.commit(groups...)
			for i, res := range results {
				if res.Outcome != store.Applied {
					e.t.Fatalf("%s: %s, want applied", describe(groups[i]), resultText(res))
				}
			}
			for i, res := range results {
				e.wantRecord(groups[i][0], res.Revisions[0])
			}
			for i, res := range results {
				groups[i] = store.Group{del(keys[i], res.Revisions[0])}
			}
			for i, res := range e.commit(groups...) {
				if res.Outcome != store.Applied {
					e.t.Fatalf("%s: %s, want applied", describe(groups[i]), resultText(res))
				}
			}
			e.wantAbsent(keys...)
		},
	},
	{
		name: "C6 any value",
		why:  "Values and meta are arbitrary bytes; empty ones are stored as empty and do not make the record absent.",
		check: func(e *env) {
			values := [][]byte{nil, {}, make([]byte, 1), make([]byte, 4096), []byte("value\n"), []byte("\n")}
			for _, text := range awkward {
				values = append(values, []byte(text))
			}
			every := make([]byte, 256)
			for i := range every {
				every[i] = byte(i)
			}
			values = append(values, every)
			var rev store.Revision
			for i, value := range values {
				w := store.Write{Key: "key", Base: rev, Value: value, Meta: values[len(values)-1-i]}
				rev = e.apply(w)[0]
				e.wantRecord(w, rev)
			}
		},
	},
	{
		name: "C6 large value",
		why: "A value of a mebibyte, or of the declared limit if that is less, is returned unchanged, and so is the longest " +
			"Meta that Stay writes beside it.",
		check: func(e *env) {
			n := 1 << 20
			if e.f.MaxValue > 0 {
				n = min(n, e.f.MaxValue)
			}
			value := make([]byte, n)
			for i := range value {
				value[i] = byte(i * i >> 8)
			}
			longest := make([]byte, longestMeta)
			for i := range longest {
				longest[i] = byte(i * i >> 4)
			}
			w := store.Write{Key: "key", Value: value, Meta: longest}
			e.wantRecord(w, e.apply(w)[0])
		},
	},
	{
		name: "C6 any version",
		why:  "Version is a number of 32 bits or more.",
		check: func(e *env) {
			var rev store.Revision
			for _, version := range []int{0, 1, 255, 256, 65536, math.MaxInt32} {
				w := store.Write{Key: "key", Base: rev, Version: version}
				rev = e.apply(w)[0]
				e.wantRecord(w, rev)
			}
		},
	},
	{
		name: "C6 slices stay as they are",
		why: "Neither side modifies a slice that it has passed on, so both may keep it: a store that reuses a buffer " +
			"changes states while they are read.",
		check: checkSlicesKept,
	},
}

// checkSlicesKept keeps all slices that it passed in or got back while the
// store does all kinds of work, and compares them at the end.
func checkSlicesKept(e *env) {
	type kept struct {
		what       string
		slice, was []byte
	}
	var all []kept
	keep := func(what string, slices ...[]byte) {
		for _, s := range slices {
			all = append(all, kept{what, s, bytes.Clone(s)})
		}
	}
	var rev store.Revision
	for i := range 30 {
		// All have the same length, so that they fit into a reused buffer.
		w := put("key", rev, fmt.Sprintf("value %03d", i))
		keep("a write handed to Commit", w.Value, w.Meta)
		rev = e.apply(w)[0]
		rec := e.load("key")
		keep("a record that Load returned", rec.Value, rec.Meta)
		res := e.conflict(put("key", 0, "other 000"))
		keep("a record that a conflict returned", res.Current[0].Value, res.Current[0].Meta)
		if i%10 == 9 {
			e.apply(del("key", rev))
			rev = 0
		}
		for j := range 4 {
			other := fmt.Sprint("other", j)
			e.put1(other, e.load(other).Revision, fmt.Sprintf("other %03d", i))
		}
	}
	for _, k := range all {
		if !bytes.Equal(k.slice, k.was) {
			e.t.Fatalf("%s changed from %s to %s", k.what, bytesText(k.was), bytesText(k.slice))
		}
	}
}
