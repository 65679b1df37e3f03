package cloudflarestore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stay-go/stay/store"
)

const (
	// maxBytes bounds what one request has to carry, unless one group is larger.
	maxBytes = 16 << 20

	// maxGroup bounds a group: what an object is given has 32 MiB at most.
	maxGroup = 30 << 20

	// bytesPerSecond is the rate at which an attempt with large values must get on.
	bytesPerSecond = 2 << 20

	// objectTime is what an attempt gets more for each object that it asks: it may
	// have to be started, and to make its tables.
	objectTime = 20 * time.Millisecond

	// maxRefused is how often groups are sent again because another call has raised
	// the fence meanwhile.
	maxRefused = 10
)

// Commit applies the groups, those of a call with one request unless there is much
// in it. It waits up to [Attempt] for the answer. Groups that an object gets when a
// later call has been answered are not applied, and their outcome was
// [store.Unknown]. A group of more than 20 MiB is rejected with [store.ErrTooLarge].
func (s *Store) Commit(ctx context.Context, groups []store.Group) []store.Result {
	results := make([]store.Result, len(groups))
	if err := s.begin(); err != nil {
		for i := range results {
			results[i] = store.Result{Outcome: store.Rejected, Err: err}
		}
		return results
	}
	defer s.calls.Done()
	bad := store.CheckGroups(groups, s.Features())
	valid := make([]int, 0, len(groups))
	for i := range groups {
		switch size := sizeOf(groups[i]); {
		case bad != nil && bad[i] != nil:
			results[i] = store.Result{Outcome: store.Rejected, Err: bad[i]}
		case size > maxGroup:
			results[i] = store.Result{Outcome: store.Rejected, Err: fmt.Errorf("cloudflarestore: group with more than 20 MiB: %w", store.ErrTooLarge)}
		default:
			valid = append(valid, i)
		}
	}
	jobs := s.divide(len(valid), func(i int) string { return groups[valid[i]][0].Key })
	for _, j := range jobs {
		for k := range j.places {
			j.places[k] = valid[j.places[k]]
		}
	}
	refused := 0
	_ = inRounds(jobs, func(some []*job) error {
		refused = s.commit(ctx, groups, some, results, refused)
		return nil
	})
	return results
}

// commit makes one attempt to apply groups of the jobs, as many as one request
// carries, fills in their results, and takes them away. It returns how often one of
// the call's requests was refused by a fence.
func (s *Store) commit(ctx context.Context, groups []store.Group, jobs []*job, results []store.Result, refused int) int {
	calls := make([]any, 0, len(jobs))
	sent := make([]*commitCall, 0, len(jobs))
	asked := make([]*job, 0, len(jobs))
	size := 0
	for _, j := range jobs {
		call := &commitCall{Object: j.object, Node: s.fences.node, Book: s.places.book(j.object)}
		for _, i := range j.places {
			more := sizeOf(groups[i])
			if size > 0 && size+more > maxBytes {
				break
			}
			size += more
			call.Groups = append(call.Groups, encode(groups[i]))
		}
		if len(call.Groups) > 0 {
			calls, sent, asked = append(calls, call), append(sent, call), append(asked, j)
		}
	}
	for _, call := range sent {
		call.Epoch, call.Raise = s.fences.begin(call.Object)
		call.Room, call.Sole = maxRoom/len(sent), len(sent) == 1
	}
	limit := s.attempt + time.Duration(len(calls)-1)*objectTime + time.Duration(size)*time.Second/bytesPerSecond
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answers, err := s.ask(ctx, "commit", calls)
	for k, call := range sent {
		var said commitAnswer
		failed := err
		if failed == nil {
			failed = answers[k].into(&said)
		}
		if n := len(said.Results); failed == nil && !said.Fenced && (n > len(call.Groups) || n == 0 && call.Sole) {
			failed = errAnswer
		}
		switch {
		case failed != nil:
			s.fail(asked[k], len(call.Groups), results, failed, call)
		case said.Fenced:
			// Nothing was done, and it is sent again with the present epoch.
			if refused++; refused > maxRefused {
				s.fail(asked[k], len(call.Groups), results, errRefused, call)
			}
		default:
			if call.Raise {
				s.fences.raised(call.Object, call.Epoch)
			}
			s.fill(asked[k], groups, said, results, call)
		}
	}
	return refused
}

// errAnswer means that the answer is not one to what was asked.
var errAnswer = errors.New("the object has answered what no object answers")

// errRefused is the cause of groups that an object has refused because of their
// epoch, again and again.
var errRefused = fmt.Errorf("%w: other calls of this process have raised its fence", errNotSent)

// fail takes n groups of a job away, with what an error means for them.
func (s *Store) fail(j *job, n int, results []store.Result, err error, call *commitCall) {
	outcome := store.Rejected
	if done(err) {
		outcome = store.Unknown
		s.fences.doubt(call.Object, call.Epoch)
	}
	for _, i := range j.places[:n] {
		results[i] = store.Result{Outcome: outcome, Err: unavailable(err)}
	}
	j.places = j.places[n:]
}

// fill takes the groups of a job away that an object has answered.
func (s *Store) fill(j *job, groups []store.Group, said commitAnswer, results []store.Result, call *commitCall) {
	for k, r := range said.Results {
		i := j.places[k]
		g := groups[i]
		switch {
		case r.Failed != "":
			results[i] = store.Result{Outcome: store.Rejected, Err: unavailable(errors.New("the object could not store it: " + r.Failed))}
		case len(r.Revs) == len(g):
			results[i] = store.Result{Outcome: store.Applied, Revisions: r.Revs}
		case len(r.Current) == len(g):
			current := make([]store.Record, len(g))
			for w := range g {
				current[w] = r.Current[w].record(g[w].Key)
			}
			results[i] = store.Result{Outcome: store.Conflict, Current: current}
		default:
			s.fences.doubt(call.Object, call.Epoch)
			results[i] = store.Result{Err: unavailable(errAnswer)}
		}
	}
	j.places = j.places[len(said.Results):]
}
