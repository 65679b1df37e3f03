package storetest

import (
	"fmt"
	"strings"

	"github.com/stay-go/stay/store"
)

var groupRules = []rule{
	{
		name:  "C2 group applied whole",
		why:   "Every write of an applied group is applied; a login that moves only some of its states leaves two owners or none.",
		needs: needs{groups: true},
		check: func(e *env) {
			replaced := e.put1("replaced", 0, "old")
			deleted := e.put1("deleted", 0, "old")
			checked := e.put1("checked", 0, "same")
			revs := e.apply(
				put("created", 0, "new"), put("replaced", replaced, "new"), del("deleted", deleted),
				check("checked", checked), check("nobody", 0), del("nobody else", 0),
			)
			e.wantValue("created", revs[0], "new")
			e.wantValue("replaced", revs[1], "new")
			e.wantValue("checked", checked, "same")
			e.wantAbsent("deleted", "nobody", "nobody else")
		},
	},
	{
		name: "C2 group applied not at all",
		why: "If one condition does not hold, wherever it is in the group, every key of the group stays untouched; " +
			"a store that writes one record after another must check all conditions first, or roll back.",
		needs: needs{groups: true},
		check: checkGroupAtomic,
	},
	{
		name: "C2 group conflict tells",
		why: "The conflict of a group has a record for each write: whole for those whose condition failed, " +
			"key and revision at least for the others.",
		needs: needs{groups: true},
		check: func(e *env) {
			stale := e.put1("stale", 0, "stale")
			fine := e.put1("fine", 0, "fine")
			res := e.conflict(check("fine", fine), put("stale", stale+1, "x"), put("nobody", 0, "x"), del("gone", 9))
			if err := sameRecord(res.Current[1], put("stale", 0, "stale"), stale); err != nil {
				e.t.Errorf("conflict with %v", err)
			}
			for i, want := range []store.Revision{fine, stale, 0, 0} {
				if res.Current[i].Revision != want {
					e.t.Errorf("conflict with %s, want revision %d", recordText(res.Current[i]), want)
				}
			}
		},
	},
	{
		name: "C2 several writes without groups",
		why: "A store that does not declare Groups refuses a group of several writes instead of applying them one by one; " +
			"otherwise a group looks atomic and is not.",
		needs: needs{noGroups: true},
		check: func(e *env) {
			e.rejected(e.one(put("a", 0, "x"), put("b", 0, "x")), nil, "a group of two writes")
			e.wantAbsent("a", "b")
		},
	},
	{
		name: "C2 group at home",
		why: "A store that declares GroupsAtHome applies a group at one home whole or not at all, and refuses one over several homes: " +
			"a store of many places is built on that.",
		needs: needs{groupsAtHome: true},
		check: func(e *env) {
			const session, state, user = "stay/session/s", "session/cart/s", "stay/user/ann"
			revs := e.apply(put(session, 0, "session"), put(state, 0, "state"), check("guest/cart/s.1", 0))
			e.conflict(put(state, revs[1], "x"), put(session, revs[0]+1, "x"))
			e.wantValue(session, revs[0], "session")
			e.wantValue(state, revs[1], "state")
			e.rejected(e.one(put(user, 0, "x"), check(session, revs[0])), nil, "a group over two homes")
			e.wantAbsent(user)
		},
	},
}

// checkGroupAtomic puts every kind of failing write at every place among writes
// that would succeed.
func checkGroupAtomic(e *env) {
	again := func(key string) store.Revision {
		return e.put1(key, e.load(key).Revision, "old")
	}
	for name, bad := range map[string]func(other store.Revision) store.Write{
		"a stale put":          func(r store.Revision) store.Write { return put("other", r+1, "bad") },
		"a create that exists": func(store.Revision) store.Write { return put("other", 0, "bad") },
		"a stale delete":       func(r store.Revision) store.Write { return del("other", r+1) },
		"a stale check":        func(r store.Revision) store.Write { return check("other", r+1) },
		"a check for absence":  func(store.Revision) store.Write { return check("other", 0) },
		"a put on nothing":     func(r store.Revision) store.Write { return put("nobody", r, "bad") },
		"a delete of nothing":  func(r store.Revision) store.Write { return del("nobody", r) },
	} {
		for at := range 4 {
			replaced, deleted, other := again("replaced"), again("deleted"), again("other")
			g := store.Group{put("created", 0, "bad"), put("replaced", replaced, "bad"), del("deleted", deleted)}
			g = append(g[:at:at], append(store.Group{bad(other)}, g[at:]...)...)
			before := fmt.Sprintf("after a group with %s at place %d: ", name, at)
			res := e.one(g...)
			if res.Outcome != store.Conflict {
				e.t.Fatalf("%s%s, want conflict", before, resultText(res))
			}
			for key, want := range map[string]store.Revision{
				"created": 0, "replaced": replaced, "deleted": deleted, "other": other, "nobody": 0,
			} {
				if rec := e.load(key); rec.Revision != want || want != 0 && string(rec.Value) != "old" {
					e.t.Fatalf("%s%s with value %s, want it untouched", before, recordText(rec), bytesText(rec.Value))
				}
			}
		}
	}
}

var badWriteRules = []rule{
	{
		name: "C6 bad keys",
		why:  "A group with an empty key or one longer than MaxKey is Rejected alone; the groups beside it are applied.",
		check: func(e *env) {
			long := strings.Repeat("k", store.MaxKey+1)
			results := e.commit(
				store.Group{put("before", 0, "x")},
				store.Group{put("", 0, "x")},
				store.Group{put(long, 0, "x")},
				store.Group{},
				store.Group{put("after", 0, "x")},
			)
			e.rejected(results[1], nil, "a group with an empty key")
			e.rejected(results[2], store.ErrTooLarge, "a group with a key that is too long")
			e.rejected(results[3], nil, "a group without writes")
			e.wantAllApplied(results, 0, 4)
			e.rejected(e.one(del("", 0)), nil, "a delete of the empty key")
			e.rejected(e.one(check(long, 0)), store.ErrTooLarge, "a check of a key that is too long")
		},
	},
	{
		name:  "C6 bad write in a group",
		why:   "A group with one bad write is Rejected whole: its good writes are not applied either.",
		needs: needs{groups: true},
		check: func(e *env) {
			for at := range 3 {
				g := store.Group{put("a", 0, "x"), put("b", 0, "x")}
				g = append(g[:at:at], append(store.Group{put("", 0, "x")}, g[at:]...)...)
				e.rejected(e.one(g...), nil, fmt.Sprintf("a group with an empty key at place %d", at))
				e.wantAbsent("a", "b")
			}
		},
	},
	{
		name:  "C6 key repeated in a group",
		why:   "A group that names a key twice has no meaning under all-or-none, so it is Rejected, alone.",
		needs: needs{groups: true},
		check: func(e *env) {
			results := e.commit(
				store.Group{put("before", 0, "x")},
				store.Group{put("twice", 0, "x"), put("once", 0, "x"), put("twice", 0, "y")},
				store.Group{put("after", 0, "x")},
			)
			e.rejected(results[1], nil, "a group that names a key twice")
			e.wantAllApplied(results, 0, 2)
			e.wantAbsent("once", "twice")
			rev := e.put1("twice", 0, "x")
			e.rejected(e.one(check("twice", rev), put("twice", rev, "y")), nil, "a check and a put of one key")
			e.wantValue("twice", rev, "x")
		},
	},
	{
		name: "C6 key repeated in a call",
		why: "The groups of one call are in no order, so a key may be in one of them only: the first group that names it is " +
			"applied, those after it are Rejected, whatever their condition.",
		check: func(e *env) {
			results := e.commit(
				store.Group{put("twice", 0, "first")},
				store.Group{put("before", 0, "x")},
				store.Group{put("twice", 0, "second")},
				store.Group{check("twice", 0)},
				store.Group{put("after", 0, "x")},
			)
			e.rejected(results[2], nil, "the second group that names a key")
			e.rejected(results[3], nil, "the third group that names a key")
			e.wantAllApplied(results, 0, 1, 4)
			e.wantValue("twice", results[0].Revisions[0], "first")
		},
	},
	{
		name:  "C6 value too large",
		why:   "A value of MaxValue bytes is accepted. With one byte more, only that group is Rejected, with ErrTooLarge, and nothing is changed.",
		needs: needs{maxValue: true},
		check: func(e *env) {
			// Callers do not reach a limit beyond this, and testing it takes
			// more memory than a test machine may have.
			const most = 64 << 20
			if e.f.MaxValue > most {
				e.t.Logf("MaxValue is %d: values up to %d are tested, the limit itself is not", e.f.MaxValue, most)
				e.apply(store.Write{Key: "large", Value: make([]byte, most)})
				return
			}
			rev := e.apply(store.Write{Key: "large", Value: make([]byte, e.f.MaxValue)})[0]
			results := e.commit(
				store.Group{put("before", 0, "x")},
				store.Group{{Key: "large", Base: rev, Value: make([]byte, e.f.MaxValue+1)}},
				store.Group{put("after", 0, "x")},
			)
			e.rejected(results[1], store.ErrTooLarge, "a value that is too large")
			e.wantAllApplied(results, 0, 2)
			if rec := e.load("large"); rec.Revision != rev || len(rec.Value) != e.f.MaxValue {
				e.t.Errorf("%s with %d bytes, want it untouched", recordText(rec), len(rec.Value))
			}
		},
	},
}

// wantAllApplied fails the rule unless the results at these places are Applied.
func (e *env) wantAllApplied(results []store.Result, places ...int) {
	e.t.Helper()
	for _, i := range places {
		if results[i].Outcome != store.Applied {
			e.t.Fatalf("group %d beside a bad one: %s, want applied", i, resultText(results[i]))
		}
	}
}
