package natsstore

import (
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// answers hands what replicas answer to those who have asked. A subscription for each
// question would take as long as ten questions do.
type answers struct {
	prefix string // of the subjects of all answers
	sub    *nats.Subscription

	mu    sync.Mutex
	last  uint64
	asked map[string]chan *nats.Msg // by the rest of the subject
}

// newAnswers listens for answers on a connection, until close.
func newAnswers(nc *nats.Conn) (*answers, error) {
	a := &answers{prefix: nc.NewInbox() + ".", asked: map[string]chan *nats.Msg{}}
	sub, err := nc.Subscribe(a.prefix+"*", a.deliver)
	if err != nil {
		return nil, err
	}
	a.sub = sub
	return a, sub.SetPendingLimits(-1, -1) // what is asked for bounds what comes
}

func (a *answers) close() { _ = a.sub.Unsubscribe() }

// await returns the subject for the answers to a question, which are n messages at
// most, and a channel that gets them. The caller calls forget in the end.
func (a *answers) await(n int) (subject string, in <-chan *nats.Msg) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last++
	rest := strconv.FormatUint(a.last, 36)
	ch := make(chan *nats.Msg, n)
	a.asked[rest] = ch
	return a.prefix + rest, ch
}

func (a *answers) forget(subject string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.asked, strings.TrimPrefix(subject, a.prefix))
}

// deliver passes a message on. What nobody waits for is dropped, and so is what no
// replica would send.
func (a *answers) deliver(m *nats.Msg) {
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case a.asked[strings.TrimPrefix(m.Subject, a.prefix)] <- m:
	default:
	}
}
