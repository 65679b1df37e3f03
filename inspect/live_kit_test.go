package inspect_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stay-go/stay/internal/sse"
	"github.com/stay-go/stay/internal/sse/ssetest"
)

// A tube is a client of one stream, and the ResponseWriter that the stream writes
// to.
type tube struct {
	t      testing.TB
	header http.Header
	leave  context.CancelFunc
	ended  chan struct{} // closed when the handler has returned
	stuck  chan struct{} // a write waits until it is closed; nil: none does

	mu     sync.Mutex
	status int
	text   string // that was not taken yet
	client ssetest.Client
	read   int // messages
}

// listen opens the stream of a page. headers are names and values.
func listen(t testing.TB, h http.Handler, page string, headers ...string) *tube {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	w := &tube{t: t, header: http.Header{}, leave: leave, ended: make(chan struct{}), client: ssetest.New(sse.Plain)}
	r := httptest.NewRequestWithContext(ctx, "GET", "/"+page, nil)
	r.Header.Set("Accept", "text/event-stream")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	go func() {
		defer close(w.ended)
		h.ServeHTTP(w, r)
	}()
	t.Cleanup(w.gone)
	return w
}

// Header, WriteHeader, Write and Flush make it a http.ResponseWriter.
func (w *tube) Header() http.Header { return w.header }

func (w *tube) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status = status
}

func (w *tube) Write(b []byte) (int, error) {
	w.mu.Lock()
	stuck := w.stuck
	w.mu.Unlock()
	if stuck != nil {
		<-stuck
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text += string(b)
	w.client.Feed(b)
	return len(b), nil
}

func (w *tube) Flush() {}

// take returns what has come since it was called last: the text, and the parts by
// their ids. What the stream says of itself is in parts under "live".
func (w *tube) take() (text string, parts map[string]string) {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	text, w.text = w.text, ""
	parts = map[string]string{}
	all := w.client.Read().Messages
	for _, m := range all[w.read:] {
		id, html, _ := strings.Cut(m.Data, "\n")
		if m.Event == "live" {
			id, html = "live", m.Data
		}
		parts[id] = html
	}
	w.read = len(all)
	return text, parts
}

// code is the status of the answer.
func (w *tube) code() int {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

// over reports whether the stream has ended.
func (w *tube) over() bool {
	synctest.Wait()
	select {
	case <-w.ended:
		return true
	default:
		return false
	}
}

// gone has the client leave, and waits until the handler has returned.
func (w *tube) gone() {
	w.leave()
	<-w.ended
}
