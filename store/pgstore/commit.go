package pgstore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stay-go/stay/store"
)

const (
	// maxWrites and maxBytes bound a transaction, unless one group is larger.
	maxWrites = 512
	maxBytes  = 8 << 20

	// bytesPerSecond is the rate at which an attempt with large values must get on.
	bytesPerSecond = 2 << 20

	// drift is how much later than ours a server's clock may pass a time, since
	// clocks do not run at quite the same speed.
	drift = 20 * time.Millisecond
)

// Commit applies the groups, those of a call in one transaction unless there are
// many. It waits up to [Attempt] for the answer. Groups that the server gets
// later than that are not applied, and their outcome is [store.Unknown]. While a
// group may still arrive late, others that write its keys wait.
func (s *Store) Commit(ctx context.Context, groups []store.Group) []store.Result {
	results := make([]store.Result, len(groups))
	if err := s.begin(); err != nil {
		for i := range results {
			results[i] = store.Result{Outcome: store.Rejected, Err: err}
		}
		return results
	}
	defer s.calls.Done()
	valid := s.validate(groups, results)
	for len(valid) > 0 {
		n, bytes := chunk(groups, valid)
		s.commit(ctx, groups, valid[:n], results, bytes)
		valid = valid[n:]
	}
	s.announce(groups, results)
	return results
}

// validate rejects the groups that no store accepts and returns the places of
// the others.
func (s *Store) validate(groups []store.Group, results []store.Result) []int {
	bad := store.CheckGroups(groups, s.Features())
	valid := make([]int, 0, len(groups))
	for i := range groups {
		if bad != nil && bad[i] != nil {
			results[i] = store.Result{Outcome: store.Rejected, Err: bad[i]}
			continue
		}
		valid = append(valid, i)
	}
	return valid
}

// chunk returns how many groups the next transaction takes, and their size.
func chunk(groups []store.Group, places []int) (n, bytes int) {
	writes := 0
	for ; n < len(places); n++ {
		g := groups[places[n]]
		size := 0
		for i := range g {
			size += len(g[i].Value) + len(g[i].Meta)
		}
		if n > 0 && (writes+len(g) > maxWrites || bytes+size > maxBytes) {
			break
		}
		writes, bytes = writes+len(g), bytes+size
	}
	return n, bytes
}

// commit makes one attempt to apply the groups at the given places.
func (s *Store) commit(ctx context.Context, groups []store.Group, places []int, results []store.Result, bytes int) {
	if err := pause(ctx, time.Until(s.doubts.until(groups, places))); err != nil {
		for _, i := range places {
			results[i] = store.Result{Outcome: store.Rejected, Err: unavailable(err)}
		}
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.attempt+time.Duration(bytes)*time.Second/bytesPerSecond)
	defer cancel()
	c := call{store: s, groups: groups, results: results}
	c.until, _ = ctx.Deadline()
	var replacing, others []int
	for _, i := range places {
		if replaces(groups[i]) {
			replacing = append(replacing, i)
		} else {
			others = append(others, i)
		}
	}
	others = append(others, c.replace(ctx, replacing)...)
	c.apply(ctx, others)
	s.doubts.answered(groups, places, results)
}

// replaces reports whether a group only replaces records that are there, and
// checks others that are there. Nearly all groups do.
func replaces(g store.Group) bool {
	puts := 0
	for i := range g {
		switch {
		case g[i].Base == 0 || g[i].Op == store.Delete:
			return false
		case g[i].Op == store.Put:
			puts++
		}
	}
	return puts > 0
}

// A call is one attempt of Commit.
type call struct {
	store   *Store
	groups  []store.Group
	results []store.Result
	until   time.Time // when the attempt ends
}

// failed fills in the results of groups whose transaction failed.
func (c *call) failed(places []int, err error) {
	out := outcomeOf(err)
	for _, i := range places {
		c.results[i] = store.Result{Outcome: out, Err: unavailable(err)}
		if out == store.Unknown {
			c.store.doubts.add(c.groups[i], c.until.Add(drift))
		}
	}
}

// errLate is the cause of groups that the server got too late. Nothing was
// changed, but as Unknown they are sent again.
var errLate = errors.New("the server got the transaction too late")

// A part is one write of a group, and the revision that it got; 0 if it was not
// applied.
type part struct {
	group int
	write *store.Write
	rev   *store.Revision
}

// replace applies groups that only replace and check records, in one statement.
// It returns the places of those that it did not apply, since a condition fails.
func (c *call) replace(ctx context.Context, places []int) (rest []int) {
	if len(places) == 0 {
		return nil
	}
	parts := make([]part, 0, len(places))
	for _, i := range places {
		g := c.groups[i]
		revs := make([]store.Revision, len(g))
		c.results[i] = store.Result{Outcome: store.Applied, Revisions: revs}
		for j := range g {
			parts = append(parts, part{i, &g[j], &revs[j]})
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return strings.Compare(b.write.Key, a.write.Key) })
	var w writes
	for _, p := range parts {
		w.add(p.group, p.write)
	}
	first := lockFrom(c.groups, places)
	err := c.store.transact(ctx, c.until, func(b *pgx.Batch, deadline time.Time) {
		query, args := replace, []any{w.keys, w.bases, w.expires, w.versions, w.metas, w.values, deadline}
		if len(parts) > len(places) {
			query, args = replaceChecked, append(args, w.groups, w.ops, first)
		}
		for _, p := range parts {
			*p.rev = 0
		}
		b.Queue(query, args...).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				var i, rev int64
				if err := rows.Scan(&i, &rev); err != nil {
					return err
				}
				*parts[i-1].rev = store.Revision(rev)
			}
			return rows.Err()
		})
	})
	if err != nil {
		c.failed(places, err)
		return nil
	}
	for _, i := range places {
		if revs := c.results[i].Revisions; !complete(c.groups[i], revs) {
			rest = append(rest, i)
		}
	}
	return rest
}

// complete adds to the revisions of a group that only replaces and checks
// records those of its checks. It reports false if the group was not
// applied.
func complete(g store.Group, revs []store.Revision) bool {
	for i := range g {
		if g[i].Op == store.Check {
			revs[i] = g[i].Base
		} else if revs[i] == 0 {
			return false
		}
	}
	return true
}

// apply applies groups of any kind, or says why not.
func (c *call) apply(ctx context.Context, places []int) {
	if len(places) == 0 {
		return
	}
	var w writes
	for _, i := range places {
		for j := range c.groups[i] {
			w.add(i, &c.groups[i][j])
		}
	}
	locks := w.locks()
	answers := make([]answer, len(w.keys))
	err := c.store.transact(ctx, c.until, func(b *pgx.Batch, deadline time.Time) {
		if len(locks) > 0 {
			b.Queue(lockCreations, locks)
		}
		b.Queue(lockRecords, w.keys)
		b.Queue(apply, w.groups, w.ops, w.keys, w.bases, w.expires, w.versions, w.metas, w.values, deadline).Query(func(rows pgx.Rows) error {
			return scanAnswers(rows, answers)
		})
	})
	if err != nil {
		c.failed(places, err)
		return
	}
	for _, i := range places {
		n := len(c.groups[i])
		c.results[i] = resultOf(c.groups[i], answers[:n])
		answers = answers[n:]
	}
}

// An answer is what the server says of one write: its revision, and the record if
// its group is not applied and this write is to blame.
type answer struct {
	ok  bool
	row row
}

func scanAnswers(rows pgx.Rows, answers []answer) error {
	for rows.Next() {
		var i int64
		var a answer
		var version *int64
		if err := rows.Scan(&i, &a.ok, &a.row.rev, &a.row.expires, &version, &a.row.meta, &a.row.value); err != nil {
			return err
		}
		if version != nil {
			a.row.version = *version
		}
		answers[i-1] = a
	}
	return rows.Err()
}

// resultOf says what the answers to its writes mean for a group.
func resultOf(g store.Group, answers []answer) store.Result {
	if answers[0].ok {
		revs := make([]store.Revision, len(g))
		for i := range g {
			if g[i].Op != store.Delete {
				revs[i] = store.Revision(answers[i].row.rev)
			}
		}
		return store.Result{Outcome: store.Applied, Revisions: revs}
	}
	late := true
	current := make([]store.Record, len(g))
	for i := range g {
		current[i] = answers[i].row.record(g[i].Key)
		late = late && current[i].Revision == g[i].Base
	}
	if late {
		return store.Result{Outcome: store.Unknown, Err: unavailable(errLate)}
	}
	return store.Result{Outcome: store.Conflict, Current: current}
}
