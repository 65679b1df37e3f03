package sharded

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/stay-go/stay/store"
)

// A silent remembers which records about groups could not be read because their place
// is down. Callers who come upon the lock of such a group soon after are told at
// once, so they do not hold up those who are read together with them.
type silent struct {
	mu    sync.Mutex
	until map[string]time.Time // by the keys of the records
}

// maxSilent bounds how many are remembered.
const maxSilent = 4096

func (s *silent) has(reads []store.Read) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range reads {
		if time.Now().Before(s.until[reads[i].Key]) {
			return true
		}
	}
	return false
}

func (s *silent) add(reads []store.Read) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil || len(s.until)+len(reads) > maxSilent {
		s.until = map[string]time.Time{}
	}
	for i := range reads {
		s.until[reads[i].Key] = time.Now().Add(fateTime)
	}
}

// decisions reads the records about groups. They may be at a place that is down, for
// which callers who read at another place do not wait long.
func (s *Store) decisions(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	if s.silent.has(reads) {
		return nil, errSilentPlace
	}
	own, cancel := context.WithTimeout(ctx, fateTime)
	defer cancel()
	raws, err := s.inner.Load(own, reads)
	switch {
	case err != nil && ctx.Err() == nil && own.Err() != nil:
		s.silent.add(reads)
	case err == nil && len(raws) != len(reads):
		err = errSilent
	}
	return raws, err
}

var errSilentPlace = fmt.Errorf("sharded: %w: the place that knows whether a group was committed does not answer", store.ErrUnavailable)
