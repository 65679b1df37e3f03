package storetest

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

// A small store behind a network: a server in front of a memstore, and a client
// with one connection.

// A request is one call of a client. The server refuses it if the client has
// raised its epoch since.
type request struct {
	Client string
	Epoch  int
	Reads  []store.Read
	Groups []store.Group
}

type response struct {
	Records []store.Record
	Results []result
	Refused bool // since the epoch is over
}

// A result is a store.Result without an error, which gob cannot send.
type result struct {
	Outcome   store.Outcome
	Revisions []store.Revision
	Current   []store.Record
	Err       string
}

// A server answers requests; the state of all of them is in a memstore.
type server struct {
	net.Listener
	records *memstore.Store
	mu      sync.Mutex
	epochs  map[string]int // by client
}

func newServer(t *testing.T) *server {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: l, records: memstore.New(), epochs: map[string]int{}}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		conns.Wait()
	})
	return s
}

func (s *server) serve(c net.Conn) {
	defer c.Close()
	in, out := gob.NewDecoder(c), gob.NewEncoder(c)
	for {
		var req request
		if in.Decode(&req) != nil || out.Encode(s.answer(&req)) != nil {
			return
		}
	}
}

func (s *server) answer(req *request) (resp response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if resp.Refused = req.Epoch < s.epochs[req.Client]; resp.Refused {
		return resp
	}
	s.epochs[req.Client] = req.Epoch
	resp.Records, _ = s.records.Load(context.Background(), req.Reads)
	for _, res := range s.records.Commit(context.Background(), req.Groups) {
		r := result{Outcome: res.Outcome, Revisions: res.Revisions, Current: res.Current}
		if res.Err != nil {
			r.Err = res.Err.Error()
		}
		resp.Results = append(resp.Results, r)
	}
	return resp
}

// A client is a store. After an answer that did not come it raises its epoch, so
// that the server takes nothing any more of what was sent before.
type client struct {
	dial    Dialer
	address string
	fenced  bool // false: it is broken, and does not raise its epoch
	turn    sync.Mutex
	epoch   int
	conn    net.Conn
	in      *gob.Decoder
	out     *gob.Encoder
}

// attempt bounds one sending.
const attempt = time.Second

func (c *client) ask(ctx context.Context, req request) (resp response, err error) {
	c.turn.Lock()
	defer c.turn.Unlock()
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	if c.conn == nil {
		if c.conn, err = c.dial(ctx, "tcp", c.address); err != nil {
			c.conn = nil
			return resp, err
		}
		c.in, c.out = gob.NewDecoder(c.conn), gob.NewEncoder(c.conn)
	}
	deadline, _ := ctx.Deadline()
	_ = c.conn.SetDeadline(deadline)
	req.Client, req.Epoch = "client", c.epoch
	if err = c.out.Encode(req); err == nil {
		err = c.in.Decode(&resp)
	}
	if err != nil {
		_ = c.conn.Close()
		c.conn = nil
		if c.fenced {
			c.epoch++
		}
	}
	return resp, err
}

func (c *client) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	resp, err := c.ask(ctx, request{Reads: reads})
	return resp.Records, err
}

func (c *client) Commit(ctx context.Context, groups []store.Group) []store.Result {
	results := make([]store.Result, len(groups))
	resp, err := c.ask(ctx, request{Groups: groups})
	for i := range results {
		if err != nil {
			results[i] = store.Result{Outcome: store.Unknown, Err: err}
			continue
		}
		r := resp.Results[i]
		results[i] = store.Result{Outcome: r.Outcome, Revisions: r.Revisions, Current: r.Current}
		if r.Err != "" {
			results[i].Err = errors.New(r.Err)
		}
	}
	return results
}

func (c *client) Expired(context.Context, time.Time, int) ([]store.Record, error) { return nil, nil }

func (c *client) Features() store.Features { return store.Features{Groups: true} }

func (c *client) Close() error {
	c.turn.Lock()
	defer c.turn.Unlock()
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
	return nil
}

// remote is a harness of the store behind a network.
func remote(t *testing.T, fenced bool) Harness {
	return Harness{Remote: func(_ *testing.T, dial Dialer) func(*testing.T) store.Store {
		s := newServer(t)
		return func(*testing.T) store.Store {
			return &client{dial: dial, address: s.Addr().String(), fenced: fenced}
		}
	}}
}

// remoteCaught are the rules about what the network does.
var remoteCaught = []string{"C6 a create that arrives late is not applied"}

// A store that lets late writes be applied is caught, and one that does not
// passes.
//
// Proves C6.
func TestSuiteCatchesRemote(t *testing.T) {
	for _, fenced := range []bool{false, true} {
		t.Run(fmt.Sprintf("fenced=%v", fenced), func(t *testing.T) {
			for _, name := range remoteCaught {
				log, failed, err := fails(name, remote(t, fenced), store.Features{Groups: true})
				if err != nil || failed == fenced {
					t.Errorf("rule %q: failed %v, %v: %s", name, failed, err, log)
				}
				if failed && !strings.Contains(log, `"key" at revision`) {
					t.Errorf("rule %q failed for another reason: %s", name, log)
				}
			}
		})
	}
}
