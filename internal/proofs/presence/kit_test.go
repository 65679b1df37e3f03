package presence_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
)

type counter = testkit.Counter

// A page is a loop over Watch, as a WebSocket has it.
type page struct {
	cancel context.CancelFunc
	ended  chan struct{}

	mu   sync.Mutex
	seen int // how often it got a state
}

// open opens a page in a bubble. It is closed when the test ends.
func open(t *testing.T, ctx context.Context, s *stay.State[counter]) *page {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	p := &page{cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		for _, err := range s.Watch(ctx) {
			if err != nil {
				return
			}
			p.mu.Lock()
			p.seen++
			p.mu.Unlock()
		}
	}()
	t.Cleanup(p.close)
	synctest.Wait()
	return p
}

func (p *page) close() {
	p.cancel()
	<-p.ended
}

// yields returns how often the page got a state since the last call.
func (p *page) yields() int {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.seen
	p.seen = 0
	return n
}

// A visitor is a browser whose session is known.
type visitor struct {
	*testkit.Browser
	id string
}

func newVisitor(t *testing.T, app *stay.App, user string) *visitor {
	t.Helper()
	b := testkit.NewBrowser(app)
	testkit.Login(t, b, user)
	return &visitor{b, stay.SessionFrom(b.Ctx()).ID()}
}

// wantPresent compares who is present, as user/pages; a guest is called guest, and
// pages without a session are called nobody.
func wantPresent(t *testing.T, ctx context.Context, s *stay.State[counter], want ...string) {
	t.Helper()
	synctest.Wait()
	all, err := s.Present(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, p := range all {
		switch {
		case p.Session == "":
			p.User = "nobody"
		case p.User == "":
			p.User = "guest"
		}
		got = append(got, fmt.Sprint(p.User, "/", p.Pages))
	}
	if !slices.Equal(got, append([]string{}, want...)) {
		t.Fatalf("present are %q, want %q", got, want)
	}
}

// A diary has the calls of hooks.
type diary struct {
	mu  sync.Mutex
	all []string
}

func (d *diary) add(what string, c *stay.Call, s *counter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.all = append(d.all, fmt.Sprint(what, " ", c.Session().User(), " ", s.Count))
}

// want compares what was called since the last call.
func (d *diary) want(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.all, want) {
		t.Fatalf("hooks were called: %q, want %q", d.all, want)
	}
	d.all = nil
}

// module has all hooks write into the diary.
func (d *diary) module(name string, persist stay.Strategy) stay.Module[counter] {
	return stay.Module[counter]{
		Name: name, Persist: persist,
		OnConnect:    func(c *stay.Call, s *counter) { d.add("connect", c, s) },
		OnReconnect:  func(c *stay.Call, s *counter) { d.add("reconnect", c, s) },
		OnDisconnect: func(c *stay.Call, s *counter) { d.add("disconnect", c, s) },
	}
}

const gone = 11 * time.Second
