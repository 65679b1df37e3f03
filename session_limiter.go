package stay

import (
	"errors"
	"sync"
	"time"

	"github.com/stay-go/stay/internal/engine"
)

// newSessions is the bound of Options.MaxNewSessions: what a second holds may
// come at once, and then one more with each fraction of a second that passes.
// It is measured in real time, because whoever is refused waits in real time.
type newSessions struct {
	each time.Duration // the fraction of a second that one session takes

	mu   sync.Mutex
	used time.Time // up to when time has been used up
}

func (n *newSessions) init(perSecond int) { n.each = time.Second / time.Duration(perSecond) }

// take lets one more session begin, or fails with ErrBusy.
func (n *newSessions) take() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	used := n.used
	if used.Before(now) {
		used = now
	}
	used = used.Add(n.each)
	if used.Sub(now) > time.Second {
		return &engine.Error{
			Class: engine.Busy, Err: errNewSessions,
			Text: "too many sessions begin at the moment: try again in a second",
		}
	}
	n.used = used
	return nil
}

var errNewSessions = errors.New("more sessions begin than Options.MaxNewSessions: raise it if they are all welcome")
