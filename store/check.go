package store

import (
	"errors"
	"fmt"
)

// CheckGroups finds the groups of one call of Commit that every store has to
// reject, whatever it holds (C6). Stores call it before they do anything else.
// It returns nil when there are no such groups. Otherwise it returns an error
// for each group, in order, nil for those that may be committed:
//
//	bad := store.CheckGroups(groups, s.Features())
//	for i, g := range groups {
//		if bad != nil && bad[i] != nil {
//			results[i] = store.Result{Outcome: store.Rejected, Err: bad[i]}
//			continue
//		}
//		...
//	}
//
// It rejects a group without writes, a group of several writes without
// [Features].Groups (with GroupsAtHome only if they have several homes), and a
// group with a write that
//
//   - has an operation that does not exist, or a key that is empty,
//   - has a key longer than [MaxKey], or puts a Value or a Meta longer than
//     [Features].MaxValue: the error wraps [ErrTooLarge],
//   - has a key that the call has named before, in this group or in an earlier
//     one, even if that group is rejected.
//
// If a group has several mistakes, the first is returned. The errors hold no
// keys and no values. A call with one valid write allocates nothing.
func CheckGroups(groups []Group, features Features) []error {
	var named map[string]struct{}
	if len(groups) > 1 || len(groups) == 1 && len(groups[0]) > 1 {
		named = make(map[string]struct{}, len(groups))
	}
	var errs []error
	for i, g := range groups {
		if err := checkGroup(g, named, features); err != nil {
			if errs == nil {
				errs = make([]error, len(groups))
			}
			errs[i] = err
		}
	}
	return errs
}

// checkGroup returns the first mistake in a group, nil if there is none. It
// adds the group's keys to named, which holds the keys of the earlier groups;
// named is nil if the call has only one write.
func checkGroup(g Group, named map[string]struct{}, features Features) error {
	var first error
	switch {
	case len(g) == 0:
		first = errors.New("store: group without writes")
	case len(g) > 1 && !features.Groups && features.GroupsAtHome:
		if !atOneHome(g) {
			first = fmt.Errorf("store: group of %d writes with several homes, but this store takes groups at one home", len(g))
		}
	case len(g) > 1 && !features.Groups:
		first = fmt.Errorf("store: group of %d writes, but this store takes one write per group", len(g))
	}
	for i := range g {
		w := &g[i]
		err := checkWrite(w, features.MaxValue)
		if named != nil {
			if _, again := named[w.Key]; again && err == nil {
				err = errors.New("store: key repeated in one call")
			}
			named[w.Key] = struct{}{}
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// checkWrite returns the mistake in a write by itself, nil if there is none. If
// maxValue is 0 there is no limit.
func checkWrite(w *Write, maxValue int) error {
	switch size := max(len(w.Value), len(w.Meta)); {
	case w.Op > Check:
		return fmt.Errorf("store: unknown operation %d", w.Op)
	case w.Key == "":
		return errors.New("store: empty key")
	case len(w.Key) > MaxKey:
		return fmt.Errorf("store: key of %d bytes, the limit is %d: %w", len(w.Key), MaxKey, ErrTooLarge)
	case maxValue > 0 && w.Op == Put && size > maxValue:
		return fmt.Errorf("store: value or meta of %d bytes, the limit is %d: %w", size, maxValue, ErrTooLarge)
	}
	return nil
}
