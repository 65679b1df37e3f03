package storefault

import "slices"

// A Rule says which calls a fault applies to. A Commit is matched group by
// group.
type Rule struct {
	// Op is the operation; Any means all.
	Op Op
	// Key, if not empty, must be among the keys of the call or group.
	Key string
	// Match, if not nil, must return true. Several goroutines may call it at
	// once.
	Match func(Call) bool
	// Skip is the number of matches that pass unharmed first.
	Skip int
	// Times is the number of matches after those to which the fault is applied;
	// 0 means all.
	Times int
	// Fault is what happens.
	Fault Fault
}

// An Added is a rule in force. Its methods may be called concurrently.
type Added struct {
	store *Store
	rule  Rule
	// Guarded by store.mu.
	matches, hits int
}

// Add puts a rule in force, for calls that begin after it returns.
func (s *Store) Add(r Rule) *Added {
	a := &Added{store: s, rule: r}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, a)
	return a
}

// Remove ends the rule for calls that begin after it returns; calls that
// already wait because of it go on waiting. Removing it again does nothing.
func (a *Added) Remove() {
	a.store.mu.Lock()
	defer a.store.mu.Unlock()
	// A new slice, because match reads the old one without the lock.
	kept := make([]*Added, 0, len(a.store.rules))
	for _, other := range a.store.rules {
		if other != a {
			kept = append(kept, other)
		}
	}
	a.store.rules = kept
}

// Hits returns how often the fault has been applied, group by group for a
// Commit.
func (a *Added) Hits() int {
	a.store.mu.Lock()
	defer a.store.mu.Unlock()
	return a.hits
}

// match returns the faults that apply to a call.
func (s *Store) match(call Call) []Fault {
	s.mu.Lock()
	rules := s.rules
	s.mu.Unlock()
	var faults []Fault
	for _, a := range rules {
		if a.rule.matches(call) && a.take() {
			faults = append(faults, a.rule.Fault)
		}
	}
	return faults
}

func (r *Rule) matches(call Call) bool {
	return (r.Op == Any || r.Op == call.Op) &&
		(r.Key == "" || slices.Contains(call.Keys, r.Key)) &&
		(r.Match == nil || r.Match(call))
}

// take counts a match and reports whether the fault is applied to it.
func (a *Added) take() bool {
	a.store.mu.Lock()
	defer a.store.mu.Unlock()
	a.matches++
	n := a.matches - a.rule.Skip
	if n < 1 || a.rule.Times > 0 && n > a.rule.Times {
		return false
	}
	a.hits++
	return true
}
