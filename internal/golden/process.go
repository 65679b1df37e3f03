package golden

import (
	"context"
	"sync"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
)

// A process is one app on the disk.
type process struct {
	ctx    context.Context // ends when the process is killed
	cancel context.CancelFunc
	app    *stay.App
	core   access.App
	ring   access.Keyring
	states map[string]access.State
	handle *handle
}

func (p *process) close(ctx context.Context) error {
	defer p.cancel()
	return p.app.Close(ctx)
}

// A browser keeps the token of its session, as a cookie.
type browser struct {
	id string // Session.ID

	mu    sync.Mutex
	token string
}

// An answer is one response to a browser. It takes the token along.
type answer struct {
	mu     sync.Mutex
	issued bool
	token  string
}

// Issue implements access.Carrier.
func (a *answer) Issue(token string, _ time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.issued, a.token = true, token
	return true
}

// Used implements access.Carrier.
func (a *answer) Used() {}

// Open implements access.Carrier.
func (a *answer) Open() bool { return true }

// request makes the context of one request to the process and returns a
// function for when the answer arrives.
func (b *browser) request(p *process) (ctx context.Context, answered func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := &answer{}
	return p.core.Begin(p.ctx, p.ring, b.token, a), func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		b.mu.Lock()
		defer b.mu.Unlock()
		if a.issued {
			b.token = a.token
		}
	}
}
