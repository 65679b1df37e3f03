package natsstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/stay-go/stay/store"
)

const (
	// maxReads and maxSubjects bound a request; a server answers 1,024 at once.
	maxReads    = 256
	maxSubjects = 128 << 10 // bytes

	// maxAnswer is after how many bytes a server interrupts its answer.
	maxAnswer = 4 << 20

	// maxTries is how often a read is sent without an answer.
	maxTries = 5
)

// Load reads what is asked for as of one moment, up to 256 records in one round trip.
// With several replicas, a small write comes first.
func (s *Store) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	defer s.calls.Done()
	if len(reads) == 0 {
		return nil, nil
	}
	keys := make([]string, len(reads))
	for i := range reads {
		keys[i] = reads[i].Key
	}
	ctx, cancel := context.WithTimeout(ctx, maxRead)
	defer cancel()
	there, err := s.load(ctx, keys)
	if err != nil {
		return nil, err
	}
	records := make([]store.Record, len(reads))
	for i := range reads {
		if rev := there[i].revision(); rev != 0 && rev == reads[i].Have {
			records[i] = store.Record{Key: keys[i], Revision: rev}
			continue
		}
		if records[i], err = there[i].record(keys[i]); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// Expired finds nothing: Features.Expire is false.
func (s *Store) Expired(context.Context, time.Time, int) ([]store.Record, error) {
	if err := s.begin(); err != nil {
		return nil, err
	}
	s.calls.Done()
	return nil, nil
}

// A found is the last message on the subject of a record.
type found struct {
	seq  uint64 // 0 if there is none
	data []byte // empty if it is the mark of a deletion
}

// revision is that of the record, 0 if there is none.
func (f found) revision() store.Revision {
	if len(f.data) == 0 {
		return 0
	}
	return revisionOf(f.seq)
}

// record returns the record, with revision 0 if there is none.
func (f found) record(key string) (store.Record, error) {
	if f.revision() == 0 {
		return store.Record{Key: key}, nil
	}
	return decode(key, f.seq, f.data)
}

// load returns the last messages of the records of some keys.
func (s *Store) load(ctx context.Context, keys []string) ([]found, error) {
	floor, err := s.barrier(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	there := make([]found, 0, len(keys))
	for len(keys) > 0 {
		subjects := make([]string, 0, min(len(keys), maxReads))
		for size := 0; len(subjects) < min(len(keys), maxReads) && size < maxSubjects; {
			subject := s.subjectOf(keys[len(subjects)])
			subjects, size = append(subjects, subject), size+len(subject)
		}
		last, err := s.last(ctx, subjects, floor)
		if err != nil {
			return nil, unavailable(err)
		}
		for _, subject := range subjects {
			there = append(there, last[subject])
		}
		keys = keys[len(subjects):]
	}
	return there, nil
}

// barrier returns the number of a message that a majority of the servers has stored
// since it was called: whoever has it has all that was applied before. One replica
// alone has everything, and 0 is enough.
func (s *Store) barrier(ctx context.Context) (uint64, error) {
	if s.replicas == 1 {
		return 0, nil
	}
	for try := 1; ; try++ {
		m := nats.NewMsg(s.barrierSubject())
		live(m, brief)
		attempt, cancel := context.WithTimeout(ctx, s.attempt)
		seq, err := s.publish(attempt, []*nats.Msg{m})
		cancel()
		if err == nil {
			return seq, nil
		}
		// It may be sent twice.
		if v := judged(err); v == refused || v == inDoubt && try >= maxTries {
			return 0, err
		}
		if pause(ctx, tempo(try)) != nil {
			return 0, err
		}
	}
}

func (s *Store) barrierSubject() string { return s.name + ofBarrier + s.node }

var (
	// errBehind means that a replica has answered that does not have everything.
	errBehind = errors.New("a replica that is behind has answered")

	// errSilence means that a read was not answered in time.
	errSilence = errors.New("no answer")
)

// last returns the last message on each subject that has one, from a replica that has
// the message floor.
func (s *Store) last(ctx context.Context, subjects []string, floor uint64) (map[string]found, error) {
	silences := 0
	for try := 1; ; try++ {
		all := make(map[string]found, len(subjects))
		err := s.lastOnce(ctx, subjects, floor, all)
		switch {
		case err == nil:
			return all, nil
		case errors.Is(err, errSilence):
			if silences++; silences == maxTries {
				return nil, err
			}
		case errors.Is(err, errAnswer):
			return nil, err
		}
		if pause(ctx, tempo(try)) != nil {
			return nil, err
		}
	}
}

// A lastRequest asks a replica for the last messages of subjects.
type lastRequest struct {
	Subjects []string `json:"multi_last"`
	MaxBytes int      `json:"max_bytes"`
}

// lastOnce asks one replica. If it interrupts its answer, because it is long, the
// same replica need not go on; what it has answered is as fresh as the rest.
func (s *Store) lastOnce(ctx context.Context, subjects []string, floor uint64, all map[string]found) error {
	missing := subjects
	for {
		if floor > 0 { // a replica that has no message says nothing of itself
			missing = append([]string{s.barrierSubject()}, missing...)
		}
		request, err := json.Marshal(lastRequest{missing, maxAnswer})
		if err != nil {
			return err
		}
		inbox, in := s.answers.await(len(missing) + 1)
		rest := 0
		if err = s.nc.PublishRequest(s.api+"DIRECT.GET."+s.name, inbox, request); err != nil {
			err = fmt.Errorf("%w: %w", errNotSent, err)
		} else {
			rest, err = s.collect(ctx, in, floor, all)
		}
		s.answers.forget(inbox)
		if err != nil || rest == 0 {
			return err
		}
		missing = nil
		for _, subject := range subjects {
			if _, ok := all[subject]; !ok {
				missing = append(missing, subject)
			}
		}
		if len(missing) == 0 {
			return nil
		}
	}
}

// collect adds what a replica answers, and returns how many messages it has left out.
func (s *Store) collect(ctx context.Context, in <-chan *nats.Msg, floor uint64, all map[string]found) (rest int, err error) {
	silence := time.NewTimer(s.attempt)
	defer silence.Stop()
	for {
		var m *nats.Msg
		select {
		case m = <-in:
			silence.Reset(s.attempt)
		case <-silence.C:
			return 0, errSilence
		case <-ctx.Done():
			return 0, errors.Join(errSilence, ctx.Err())
		}
		status := m.Header.Get("Status")
		switch status {
		case "":
			seq, err := strconv.ParseUint(m.Header.Get("Nats-Sequence"), 10, 64)
			if err != nil || seq == 0 || m.Header.Get("Nats-Stream") != s.name {
				return 0, errAnswer // or a mirror (mirror_direct)
			}
			all[m.Header.Get("Nats-Subject")] = found{seq, m.Data}
		case "204": // the end
			upTo, err := strconv.ParseUint(m.Header.Get("Nats-UpTo-Sequence"), 10, 64)
			if err != nil {
				return 0, errAnswer
			}
			if upTo < floor {
				return 0, errBehind
			}
			rest, err := strconv.Atoi(m.Header.Get("Nats-Num-Pending"))
			if err != nil {
				return 0, errAnswer
			}
			return rest, nil
		case "404": // nothing is on these subjects
			if floor > 0 {
				return 0, errBehind
			}
			return 0, nil
		case "503":
			return 0, errNobody
		default:
			return 0, fmt.Errorf("%w: %s %s", errAnswer, status, m.Header.Get("Description"))
		}
	}
}
