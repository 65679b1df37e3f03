package natsstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/stay-go/stay/store"
)

// maxListed is how many records and marks below one prefix List looks through.
const maxListed = 1_000_000

// List returns keys as described in [store.Lister]. Each call gets the names of all
// records below the prefix, up to its second slash, and of those deleted in the last
// hour, 100,000 in a round trip. Then it reads the records themselves, to see which
// have expired. With more than a million names it fails with
// [store.ErrTooLarge].
func (s *Store) List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	if limit <= 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, maxRead)
	defer cancel()
	floor, err := s.barrier(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	keys, err := s.names(ctx, prefix, after, floor)
	if err != nil {
		return nil, err
	}
	var listed []string
	for len(keys) > 0 && len(listed) < limit {
		n := min(len(keys), maxReads)
		there, err := s.load(ctx, keys[:n])
		if err != nil {
			return nil, err
		}
		for i := range there {
			rec, err := there[i].record(keys[i])
			if err != nil {
				return nil, err
			}
			if rec.Revision != 0 && !rec.Expired(now) && len(listed) < limit {
				listed = append(listed, keys[i])
			}
		}
		keys = keys[n:]
	}
	return listed, nil
}

// A namesRequest asks for a page of the names of subjects, a namesAnswer is one.
type (
	namesRequest struct {
		Filter string `json:"subjects_filter"`
		Offset int    `json:"offset"`
	}
	namesAnswer struct {
		Error *refusal `json:"error"`
		Total int      `json:"total"`
		State struct {
			LastSeq  uint64            `json:"last_seq"`
			Subjects map[string]uint64 `json:"subjects"`
		} `json:"state"`
	}
)

// names returns the keys, in order, that begin with prefix, come after another one,
// and have a record or the mark of one.
func (s *Store) names(ctx context.Context, prefix, after string, floor uint64) ([]string, error) {
	var keys []string
	for got := 0; ; {
		page, err := s.page(ctx, namesRequest{s.filterFor(prefix), got}, floor)
		if err != nil {
			return nil, unavailable(err)
		}
		if page.Total > maxListed {
			return nil, fmt.Errorf("natsstore: %d names to list, the limit is %d: %w", page.Total, maxListed, store.ErrTooLarge)
		}
		for subject := range page.State.Subjects {
			key, err := s.keyOf(subject)
			if err != nil {
				return nil, err
			}
			if strings.HasPrefix(key, prefix) && key > after {
				keys = append(keys, key)
			}
		}
		got += len(page.State.Subjects)
		if len(page.State.Subjects) == 0 || got >= page.Total {
			slices.Sort(keys)
			return slices.Compact(keys), nil
		}
	}
}

// page returns a page of names from a server that has the message floor.
func (s *Store) page(ctx context.Context, request namesRequest, floor uint64) (page namesAnswer, err error) {
	body, err := json.Marshal(request)
	if err != nil {
		return page, err
	}
	for try := 1; ; try++ {
		m, err := s.nc.RequestMsgWithContext(ctx, &nats.Msg{Subject: s.api + "STREAM.INFO." + s.name, Data: body})
		if err == nil {
			page = namesAnswer{}
			if json.Unmarshal(m.Data, &page) != nil {
				return page, errAnswer
			}
			switch {
			case page.Error == nil && page.State.LastSeq >= floor:
				return page, nil
			case page.Error == nil:
				err = errBehind
			case temporary(page.Error.ErrCode):
				err = page.Error
			default:
				return page, page.Error
			}
		} else if !errors.Is(err, nats.ErrNoResponders) {
			return page, err
		}
		if pause(ctx, tempo(try)) != nil {
			return page, err
		}
	}
}
