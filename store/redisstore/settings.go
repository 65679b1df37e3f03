package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/stay-go/stay/store"
)

const (
	// format is the version of the keys.
	format = "1"

	// oldest is the first version of Redis whose scripts have flags.
	oldest = 7
)

// prepare finds out whether the server is one for records, and how durable it is.
func (s *Store) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, maxRead)
	defer cancel()
	info, err := s.info(ctx)
	if err != nil {
		return unavailable(fmt.Errorf("asking the server what it is: %w", err))
	}
	if major, _, _ := strings.Cut(info["redis_version"], "."); major != "" {
		if n, err := strconv.Atoi(major); err == nil && n < oldest {
			return fmt.Errorf("redisstore: the server is Redis %s, and this package needs %d or newer", info["redis_version"], oldest)
		}
	}
	config, err := s.config(ctx)
	if err != nil {
		return unavailable(fmt.Errorf("asking for the server's configuration: %w", err))
	}
	if err := s.judge(info, config); err != nil {
		return err
	}
	if err := s.each(func(_ int, p *part) error { return s.mark(ctx, p) }); err != nil {
		return err
	}
	return s.rehearse(ctx)
}

// judge looks at the server's configuration. config is nil if the server does not
// show it.
func (s *Store) judge(info, config map[string]string) error {
	policy := config["maxmemory-policy"]
	if policy == "" {
		policy = info["maxmemory_policy"]
	}
	switch {
	case strings.HasPrefix(policy, "allkeys-"):
		return fmt.Errorf("redisstore: the server may evict records (maxmemory-policy %s): set it to noeviction", policy)
	case policy == "" && !s.assumed:
		return errors.New("redisstore: the server does not say whether it evicts records: let the user run INFO, or say AssumeDurable")
	}
	s.durable = s.assumed
	if config != nil {
		s.durable = config["appendonly"] == "yes" && config["appendfsync"] == "always" && config["no-appendfsync-on-rewrite"] != "yes"
	}
	return nil
}

// info returns what INFO says, nothing if it is refused.
func (s *Store) info(ctx context.Context) (map[string]string, error) {
	text, err := s.ask(ctx, "INFO").ToString()
	if err != nil {
		if denied(err) {
			return nil, nil
		}
		return nil, err
	}
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info, nil
}

// config returns the part of the configuration that matters, nil if the server
// refuses to show it.
func (s *Store) config(ctx context.Context) (map[string]string, error) {
	config, err := s.ask(ctx, "CONFIG", "GET", "appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy").AsStrMap()
	if err != nil {
		if denied(err) {
			return nil, nil
		}
		return nil, err
	}
	return config, nil
}

// denied reports whether the server does not let us use a command. Services that take
// one out say so in words of their own.
func denied(err error) bool {
	c := code(err)
	return c == "NOPERM" || c != "" && !slices.Contains(refusals, c)
}

// mark leaves a mark of the format of the keys of a part, or refuses those of a newer
// one.
func (s *Store) mark(ctx context.Context, p *part) error {
	mark := format
	if s.spread > 1 {
		mark += "/" + strconv.Itoa(s.spread)
	}
	known, err := s.ask(ctx, "SET", p.key(ofFormat), mark, "NX", "GET").ToString()
	switch {
	case rueidis.IsRedisNil(err) || err == nil && known == mark:
		return nil
	case err != nil:
		return unavailable(fmt.Errorf("preparing the keys: %w", err))
	case strings.HasPrefix(known, format+"/"):
		return fmt.Errorf("redisstore: the records are spread over %s tags, and not %d", known[len(format)+1:], s.spread)
	}
	return fmt.Errorf("redisstore: the keys have format %q, and this package knows %s: written by a newer version of this package, so use that one", known, format)
}

// rehearse makes and deletes a record that is not among the others, so that what
// the user may not do shows before a real script has done a part of its work.
func (s *Store) rehearse(ctx context.Context) error {
	stage := &part{prefix: s.parts[0].key("rehearsal:" + s.node + ":"), fence: newFence()}
	stage.fence.doubt(1) // so that it is raised
	defer func() {
		_ = s.ask(ctx, "DEL", stage.key(ofFences), stage.key(ofFloor)).Error() // they take little room
	}()
	var made store.Revision
	for _, w := range []*store.Write{
		{Key: "x", Expires: time.UnixMilli(0)},
		{Key: "x"},
		{Key: "x", Op: store.Delete},
	} {
		w.Base = made
		results := make([]store.Result, 1)
		if err := s.run(ctx, stage, s.attempt, commitScript, []store.Group{{*w}}, []int{0}, results); err != nil {
			return unavailable(fmt.Errorf("a rehearsal: %w", err))
		}
		if results[0].Outcome != store.Applied {
			return unavailable(fmt.Errorf("a rehearsal: %v", results[0].Outcome))
		}
		made = results[0].Revisions[0]
	}
	return nil
}

// ask runs a command that may be sent twice.
func (s *Store) ask(ctx context.Context, words ...string) rueidis.RedisResult {
	return s.do(ctx, maxRead, func(ctx context.Context) rueidis.RedisResult {
		return s.client.Do(ctx, s.client.B().Arbitrary(words...).Build())
	})
}
