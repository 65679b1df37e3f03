package nodes_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/tests/internal/nodesite"
)

// A run is clients who use a cluster.
type run struct {
	*history
	c    *cluster
	http *http.Client
	stop atomic.Bool
	// impatient clients leave after a few milliseconds.
	impatient atomic.Bool
	clients   atomic.Int64
	acks      []atomic.Int64 // by node
	evicted   atomic.Int64   // objects
}

func newRun(c *cluster, h *history) *run {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	c.t.Cleanup(transport.CloseIdleConnections)
	h.began = time.Now()
	return &run{
		history: h, c: c, acks: make([]atomic.Int64, len(c.nodes)),
		http: &http.Client{Transport: transport, Timeout: 4*c.s.commit + 10*time.Second},
	}
}

// A client makes requests, each to another node than the one before.
type client struct {
	r      *run
	number int
	life   int
	random *rand.Rand
	node   int
	stays  bool // at this node
	last   int  // how many operations it has made
}

func (r *run) newClient() *client {
	n := int(r.clients.Add(1))
	return &client{r: r, number: n, random: rand.New(rand.NewPCG(r.Seed, uint64(n)))}
}

// next begins an operation.
func (c *client) next(k kind, register string) *op {
	c.last++
	return &op{ID: fmt.Sprintf("%d.%d", c.number, c.last), Client: c.number, Life: c.life, Register: register, Kind: k}
}

// A reply is what became of a request.
type reply struct {
	outcome   outcome
	status    int
	code      stay.Code // of an error
	text      string
	answer    nodesite.Answer
	cookie    *http.Cookie // nil if the answer sets none
	replayed  bool         // what was asked for had been made before
	call, ret time.Duration
	node      int
}

// request makes a request with a cookie, which may be "".
func (c *client) request(method, path, cookie string, form url.Values) reply {
	if n := len(c.r.c.nodes); !c.stays {
		c.node = (c.node + 1 + c.random.IntN(max(n-1, 1))) % n
	}
	return c.r.request(c.node, method, path, cookie, form)
}

func (r *run) request(node int, method, path, cookie string, form url.Values) reply {
	return r.named("", node, method, path, cookie, form)
}

// named makes a request with an id, which may be "".
func (r *run) named(id string, node int, method, path, cookie string, form url.Values) reply {
	q := reply{node: node, call: r.now()}
	q.outcome, q.text = r.send(&q, id, method, path, cookie, form)
	q.ret = r.now()
	if q.outcome == ok {
		r.acks[node].Add(1)
	}
	return q
}

// send makes the request, and says what its caller knows about it then.
func (r *run) send(q *reply, id, method, path, cookie string, form url.Values) (outcome, string) {
	ctx := context.Background()
	if r.impatient.Load() {
		var leave context.CancelFunc
		ctx, leave = context.WithTimeout(ctx, time.Duration(1+rand.IntN(40))*time.Millisecond)
		defer leave()
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+*r.c.nodes[q.node].address.Load()+path, strings.NewReader(form.Encode()))
	if err != nil {
		return failed, err.Error()
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if cookie != "" {
		req.Header.Set("Cookie", "stay="+cookie)
	}
	if id != "" {
		req.Header.Set("Idempotency-Key", `"`+id+`"`)
	}
	res, err := r.http.Do(req)
	var dial *net.OpError
	switch {
	case errors.As(err, &dial) && dial.Op == "dial" && id == "": // with an id, net/http may have sent it before, and again
		return failed, err.Error()
	case err != nil:
		return unknown, err.Error()
	}
	defer res.Body.Close()
	q.status, q.replayed = res.StatusCode, res.Header.Get("Idempotency-Replayed") == "true"
	for _, c := range res.Cookies() {
		if c.Name == "stay" {
			q.cookie = c
		}
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return unknown, err.Error()
	}
	if res.StatusCode == http.StatusOK {
		if err := json.Unmarshal(body, &q.answer); err != nil {
			r.wrong("%s answers %q", path, body)
			return unknown, err.Error()
		}
		return ok, ""
	}
	var refusal nodesite.Refusal
	if err := json.Unmarshal(body, &refusal); err != nil {
		r.wrong("%s answers %d %q", path, res.StatusCode, body)
		return unknown, string(body)
	}
	q.code = stay.Code(refusal.Code)
	again := res.Header.Get("Retry-After") != ""
	if unsure := q.code == stay.ErrUnknown; res.StatusCode == http.StatusServiceUnavailable && again == unsure {
		r.wrong("%s answers %s, and whether to try again: %t", path, q.code, again)
	}
	switch q.code {
	case stay.ErrUnknown:
		return unknown, refusal.Text
	case stay.ErrUnavailable, stay.ErrBusy, stay.ErrConflict, stay.ErrClosed, stay.ErrEnded:
		return failed, refusal.Text
	}
	r.wrong("%s answers %d %s: %s", path, res.StatusCode, refusal.Code, refusal.Text)
	return failed, refusal.Text
}

// record notes an operation that had this reply.
func (r *run) record(o *op, q reply) {
	o.Call, o.Return, o.Node, o.Outcome, o.Error = q.call, q.ret, q.node, q.outcome, q.text
	switch {
	case o.Outcome == ok:
		o.show(q.answer)
	case o.Kind == read:
		o.Outcome = failed // nobody is told what it has read
	case o.Outcome == unknown:
		o.Return = never
	}
	note(r.history, &r.Ops, o)
}

// rest waits for a moment before a client goes on after a failure.
func (c *client) rest() { pause(time.Duration(5+c.random.IntN(25)) * time.Millisecond) }
