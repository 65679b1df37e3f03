package engine

import "slices"

// On a store with other owners memory may be out of date. A change need not ask
// first: it runs on what memory has, and its commit checks everything that the
// change was based on. The base of the write checks the state; Checks of the
// session's and the user's record are part of the group. So a change waits for
// one round trip. If memory was wrong, the store refuses the group: with a later
// state, the batch runs again on it (see overtaken.go); with a later session,
// everybody starts again and asks the store first.

// maxChecks bounds the records that one batch checks. Members beyond it ask the
// store before they run.
const maxChecks = 16

// joinChecks adds a member's checks to those of its batch. It reports false if
// the member cannot join: two members must not have seen different versions of
// one record.
func joinChecks(checks, list []Companion, ok bool) ([]Companion, bool) {
	for _, c := range list {
		i := slices.IndexFunc(checks, c.names)
		switch {
		case i < 0:
			checks = append(checks, c)
		case checks[i].Base.Revision != c.Base.Revision:
			return nil, false
		}
	}
	return checks, ok && len(checks) <= maxChecks
}

// withChecks adds checks to the companions of a group. Companions that name the
// same record check it already.
func withChecks(list, checks []Companion) []Companion {
	if len(list) == 0 {
		return checks
	}
	for _, c := range checks {
		if !slices.ContainsFunc(list, c.names) {
			list = append(list, c)
		}
	}
	return list
}

// names reports whether both companions are about the same record.
func (c Companion) names(other Companion) bool { return c.Kind == other.Kind && c.Key == other.Key }
