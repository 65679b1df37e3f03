package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/stay-go/stay/store"
)

const (
	// maxWrites and maxBytes bound a script, unless one group is larger: the server
	// does nothing else meanwhile.
	maxWrites = 512
	maxBytes  = 8 << 20

	// bytesPerSecond is the rate at which an attempt with large values must get on.
	bytesPerSecond = 2 << 20

	// maxRefused is how often a group is sent again because another call has raised
	// the fence meanwhile.
	maxRefused = 10
)

// Commit applies the groups, those of a call in one script unless there are many.
// It waits up to [Attempt] for the answer. Groups that the server gets when a later
// call has been answered are not applied, and their outcome was [store.Unknown].
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
		if bad != nil && bad[i] != nil {
			results[i] = store.Result{Outcome: store.Rejected, Err: bad[i]}
			continue
		}
		valid = append(valid, i)
	}
	var all sync.WaitGroup
	for i, places := range s.divide(len(valid), func(i int) string { return groups[valid[i]][0].Key }) {
		for j := range places {
			places[j] = valid[places[j]]
		}
		work := func() {
			for len(places) > 0 {
				n := chunk(groups, places)
				s.commit(ctx, s.parts[i], groups, places[:n], results)
				places = places[n:]
			}
		}
		if len(s.parts) == 1 {
			work()
		} else if len(places) > 0 {
			all.Go(work)
		}
	}
	all.Wait()
	return results
}

// chunk returns how many groups the next script takes.
func chunk(groups []store.Group, places []int) (n int) {
	writes, bytes := 0, 0
	for ; n < len(places); n++ {
		g := groups[places[n]]
		size := sizeOf(g)
		if n > 0 && (writes+len(g) > maxWrites || bytes+size > maxBytes) {
			break
		}
		writes, bytes = writes+len(g), bytes+size
	}
	return n
}

// sizeOf is how many bytes a group puts.
func sizeOf(g store.Group) (size int) {
	for i := range g {
		size += len(g[i].Key) + len(g[i].Value) + len(g[i].Meta)
	}
	return size
}

// commit makes one attempt to apply the groups at the given places. If the server's
// memory is full, those that put nothing are sent once more without the others.
func (s *Store) commit(ctx context.Context, p *part, groups []store.Group, places []int, results []store.Result) {
	bytes := 0
	for _, i := range places {
		bytes += sizeOf(groups[i])
	}
	limit := s.attempt + time.Duration(bytes)*time.Second/bytesPerSecond
	putting, others := split(groups, places)
	script := commitScript
	if len(putting) == 0 {
		script = freeScript
	}
	err := s.run(ctx, p, limit, script, groups, places, results)
	if code(err) == "OOM" && len(others) > 0 {
		fail(results, putting, store.Rejected, err)
		places = others
		err = s.run(ctx, p, limit, freeScript, groups, places, results)
	}
	if err != nil {
		fail(results, places, outcomeOf(err), err)
	}
}

// split divides groups into those that put something and the others.
func split(groups []store.Group, places []int) (putting, others []int) {
	for _, i := range places {
		puts := false
		for j := range groups[i] {
			puts = puts || groups[i][j].Op == store.Put
		}
		if puts {
			putting = append(putting, i)
		} else {
			others = append(others, i)
		}
	}
	return putting, others
}

func fail(results []store.Result, places []int, outcome store.Outcome, err error) {
	for _, i := range places {
		results[i] = store.Result{Outcome: outcome, Err: unavailable(err)}
	}
}

// errRefused is the cause of groups that the server has refused because of their
// epoch, again and again.
var errRefused = errors.New("other calls of this process have raised its fence")

// run sends groups as one script and fills in their results, unless there is an
// error.
func (s *Store) run(ctx context.Context, p *part, limit time.Duration, script *rueidis.Lua, groups []store.Group, places []int, results []store.Result) error {
	keys, args := s.arguments(p, groups, places)
	for range maxRefused {
		epoch, raise := p.fence.begin()
		args[1], args[2] = strconv.FormatUint(epoch, 10), ""
		if raise {
			args[2] = "1"
		}
		// An earlier sending may have these slices still.
		sent := append([]string(nil), args...)
		answer, err := parseAnswer(s.do(ctx, limit, func(ctx context.Context) rueidis.RedisResult {
			return script.Exec(ctx, s.client, keys, sent)
		}))
		if err != nil {
			if outcomeOf(err) == store.Unknown {
				p.fence.doubt(epoch)
			}
			return err
		}
		if answer.refused {
			continue
		}
		p.fence.answered(epoch)
		answer.fill(groups, places, results)
		return nil
	}
	return fmt.Errorf("%w: %w", errNotSent, errRefused)
}

// headArgs is how many arguments of the script come before those of the writes.
const headArgs = 7

// arguments returns the keys and arguments of the script, without the epoch.
func (s *Store) arguments(p *part, groups []store.Group, places []int) (keys, args []string) {
	n := 0
	for _, i := range places {
		n += len(groups[i])
	}
	record := p.key(ofRecord)
	keys = append(make([]string, 0, 4+n), p.key(ofFences), p.key(ofFloor), p.key(ofExpires), p.key(ofNames))
	args = append(make([]string, 0, headArgs+2*n), s.node, "", "", p.key(ofChanges), "", strconv.Itoa(len(record)), "")
	codes := make([]byte, 0, n)
	var highest store.Revision
	for _, i := range places {
		for j := range groups[i] {
			w := &groups[i][j]
			code := '0' + byte(w.Op)
			if j == 0 {
				code += 4
			}
			codes = append(codes, code)
			keys = append(keys, record+w.Key)
			args = append(args, revisionText(w.Base))
			if w.Op == store.Put {
				highest = max(highest, w.Base)
				args = append(args, rueidis.BinaryString(appendBody(make([]byte, 0, bodySize(w)), w)))
			}
		}
	}
	args[4], args[6] = strconv.FormatUint(uint64(highest), 10), string(codes)
	return keys, args
}

// An answer is what the script says.
type answer struct {
	refused bool // because of the epoch
	rev     store.Revision
	failed  map[int]string // the records that do not fit, by the number of the write
}

// errAnswer means that the server has answered something that the script does not.
var errAnswer = errors.New("the server has answered what no script answers")

func parseAnswer(r rueidis.RedisResult) (answer, error) {
	m, err := r.ToMessage()
	if err != nil {
		return answer{}, err
	}
	if m.IsInt64() {
		n, err := m.AsInt64()
		return answer{refused: n < 0, rev: store.Revision(max(n, 0))}, err
	}
	parts, err := m.ToArray()
	if err != nil {
		return answer{}, err
	}
	if len(parts)%2 != 1 {
		return answer{}, errAnswer
	}
	rev, err := parts[0].AsInt64()
	if err != nil {
		return answer{}, err
	}
	a := answer{rev: store.Revision(rev), failed: make(map[int]string, len(parts)/2)}
	for i := 1; i < len(parts); i += 2 {
		n, err := parts[i].AsInt64()
		if err != nil {
			return answer{}, err
		}
		if a.failed[int(n)], err = parts[i+1].ToString(); err != nil {
			return answer{}, err
		}
	}
	return a, nil
}

// fill says what the answer means for each group.
func (a answer) fill(groups []store.Group, places []int, results []store.Result) {
	n := 0 // of the write; the script counts from 1
	for _, i := range places {
		g := groups[i]
		conflict := false
		for j := range g {
			_, fails := a.failed[n+1+j]
			conflict = conflict || fails
		}
		if conflict {
			results[i] = a.conflict(g, n)
		} else {
			results[i] = a.applied(g)
		}
		n += len(g)
	}
}

func (a answer) applied(g store.Group) store.Result {
	revs := make([]store.Revision, len(g))
	for j := range g {
		switch g[j].Op {
		case store.Put:
			revs[j] = a.rev
		case store.Check:
			revs[j] = g[j].Base
		}
	}
	return store.Result{Outcome: store.Applied, Revisions: revs}
}

func (a answer) conflict(g store.Group, before int) store.Result {
	current := make([]store.Record, len(g))
	for j := range g {
		text, fails := a.failed[before+1+j]
		switch {
		case !fails:
			current[j] = store.Record{Key: g[j].Key, Revision: g[j].Base}
		case text == "":
			current[j] = store.Record{Key: g[j].Key}
		default:
			rec, err := decode(g[j].Key, text)
			if err != nil {
				return store.Result{Outcome: store.Rejected, Err: err}
			}
			current[j] = rec
		}
	}
	return store.Result{Outcome: store.Conflict, Current: current}
}
