package natsstore

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/stay-go/stay/store"
)

// Headers of messages.
const (
	hdrExpected   = "Nats-Expected-Last-Subject-Sequence"
	hdrExpectedOf = "Nats-Expected-Last-Subject-Sequence-Subject"
	hdrTTL        = "Nats-TTL"
	hdrBatch      = "Nats-Batch-Id"
	hdrBatchPlace = "Nats-Batch-Sequence"
	hdrBatchLast  = "Nats-Batch-Commit"
)

const (
	// marks is how long a mark of deletion stays, and a record after it has expired:
	// as long as they are there, a create that arrives late finds them.
	marks = time.Hour

	// brief is how long messages stay that are no records.
	brief = time.Minute

	// longest is the longest time to live that is written down; more is no bound.
	longest = 100 * 365 * 24 * time.Hour
)

// message is what a write publishes. It takes effect if the last message on the
// record's subject is seq, 0 for none. place is a number that no other message under
// way has.
func (s *Store) message(w *store.Write, seq uint64, now time.Time, place int) *nats.Msg {
	m := nats.NewMsg(s.subjectOf(w.Key))
	switch {
	case w.Op == store.Put:
		m.Data = encode(w)
		if !w.Expires.IsZero() {
			live(m, max(w.Expires.Sub(now), 0)+marks)
		}
	case changes(w):
		live(m, marks)
	default:
		m.Header.Set(hdrExpectedOf, m.Subject)
		m.Subject = s.name + ofCheck + s.node + "." + strconv.Itoa(place)
		live(m, brief)
	}
	m.Header.Set(hdrExpected, strconv.FormatUint(seq, 10))
	return m
}

// changes reports whether a write changes something if its condition holds.
func changes(w *store.Write) bool {
	return w.Op == store.Put || w.Op == store.Delete && w.Base != 0
}

// live says after how long the server drops a message: at least after d.
func live(m *nats.Msg, d time.Duration) {
	if d < longest {
		m.Header.Set(hdrTTL, strconv.FormatInt(int64(d/time.Second)+1, 10))
	}
}

// A refusal is an error with which a server has answered a message.
type refusal struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *refusal) Error() string { return fmt.Sprintf("nats: %s (%d)", e.Description, e.ErrCode) }

var (
	// errNotSent means that nothing has been sent that could take effect.
	errNotSent = errors.New("no connection")

	// errNobody means that no server has taken the messages, because the stream has
	// no leader at the moment.
	errNobody = errors.New("the stream has no leader")

	// errAnswer means that something else than a stream has answered.
	errAnswer = errors.New("an answer that no stream gives")
)

// publish stores messages, all or none, and returns the number of the last one. They
// get numbers that follow each other.
func (s *Store) publish(ctx context.Context, msgs []*nats.Msg) (uint64, error) {
	if !s.nc.IsConnected() {
		return 0, errNotSent
	}
	last := len(msgs) - 1
	if last > 0 {
		id := rand.Text()
		for i, m := range msgs {
			m.Header.Set(hdrBatch, id)
			m.Header.Set(hdrBatchPlace, strconv.Itoa(i+1))
		}
		msgs[last].Header.Set(hdrBatchLast, "1")
		for _, m := range msgs[:last] {
			// Without its last message a batch does nothing.
			if err := s.nc.PublishMsg(m); err != nil {
				return 0, fmt.Errorf("%w: %w", errNotSent, err)
			}
		}
	}
	answer, err := s.nc.RequestMsgWithContext(ctx, msgs[last])
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return 0, errNobody
	case errors.Is(err, nats.ErrReconnectBufExceeded):
		return 0, fmt.Errorf("%w: %w", errNotSent, err)
	case err != nil:
		return 0, err
	}
	return s.parseAck(answer.Data, len(msgs))
}

// parseAck reads the answer to the last of several messages.
func (s *Store) parseAck(b []byte, messages int) (uint64, error) {
	var ack struct {
		Error  *refusal `json:"error"`
		Stream string   `json:"stream"`
		Seq    uint64   `json:"seq"`
		Count  int      `json:"count"`
	}
	if err := json.Unmarshal(b, &ack); err != nil {
		return 0, errAnswer
	}
	switch {
	case ack.Error != nil:
		return 0, ack.Error
	case ack.Stream != s.name || ack.Seq < uint64(messages) || messages > 1 && ack.Count != messages:
		return 0, errAnswer
	}
	return ack.Seq, nil
}

// A verdict says what an error means for the messages of a commit.
type verdict uint8

const (
	inDoubt   verdict = iota // they may be stored
	refused                  // they are not, and never will be
	again                    // nor are they, and the same may be stored in a moment
	condition                // a condition does not hold, or another message is under way on one of the subjects
)

// Codes of errors of JetStream.
const (
	codeUnavailable      = 10008 // no leader of the cluster
	codeResources        = 10023 // the server is too busy
	codeStorage          = 10047 // the account or server has no room
	codeLastSequence     = 10071
	codeNotStored        = 10077 // for one of several reasons
	codeLastSequenceBusy = 10164
	codeTooMany          = 10167 // requests are waiting
	codeIncomplete       = 10176 // a message of the batch is missing
	codeBatches          = 10210 // batches are under way
)

// temporary reports whether a server that has answered with this code has done
// nothing and may do it soon.
func temporary(code int) bool {
	switch code {
	case codeUnavailable, codeResources, codeTooMany, codeIncomplete, codeBatches:
		return true
	}
	return false
}

// judged says what an error of publish means.
func judged(err error) verdict {
	if errors.Is(err, errNotSent) || errors.Is(err, errNobody) {
		return again
	}
	r, ok := errors.AsType[*refusal](err)
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return refused
	case !ok:
		return inDoubt
	case r.ErrCode == codeLastSequence || r.ErrCode == codeLastSequenceBusy:
		return condition
	case temporary(r.ErrCode):
		return again
	case r.Code >= 400 && r.Code < 500, r.ErrCode == codeStorage:
		return refused
	case r.ErrCode == codeNotStored && strings.HasPrefix(r.Description, "maximum "):
		return refused // a limit of the stream, which is looked at first
	}
	return inDoubt
}
