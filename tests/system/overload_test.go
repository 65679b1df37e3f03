package system_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/web"
)

// A listener is a crowdserver that listens.
type listener struct {
	t      *testing.T
	cmd    *exec.Cmd
	url    string
	client *http.Client
}

func listenCrowd(t *testing.T, program string, args ...string) *listener {
	t.Helper()
	l := &listener{t: t, cmd: command(program, append(args, "-http")...)}
	if _, err := l.cmd.StdinPipe(); err != nil { // the server ends when it closes
		t.Fatal(err)
	}
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the server did not say where it listens: %v", err)
	}
	l.url = "http://" + strings.TrimSpace(line)
	l.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	return l
}

// kill ends the server as kill -9 does.
func (l *listener) kill() {
	if l.cmd == nil {
		return
	}
	_ = l.cmd.Process.Kill()
	_ = l.cmd.Wait()
	l.cmd = nil
	l.client.CloseIdleConnections()
}

func (l *listener) browser(cookie string) *browser {
	return &browser{t: l.t, client: l.client, url: l.url, cookie: cookie}
}

// ask makes a request whose answer is a number.
func (l *listener) ask(path string) int {
	l.t.Helper()
	text, _, _ := strings.Cut(l.browser("").do("GET", path).body, " ")
	n, err := number(text)
	if err != nil {
		l.t.Fatalf("GET %s: %v", path, err)
	}
	return n
}

// dialAll opens connections, which end with the test at the latest.
func (l *listener) dialAll(n int) (all []*rawClient, closeAll func()) {
	l.t.Helper()
	closeAll = sync.OnceFunc(func() {
		for _, c := range all {
			c.close()
		}
	})
	l.t.Cleanup(closeAll)
	for range n {
		c, err := dial(l.url)
		if err != nil {
			l.t.Fatal(err)
		}
		all = append(all, c)
	}
	return all, closeAll
}

// A flood is what very many clients were answered.
type flood struct {
	mu      sync.Mutex
	done    int // 200
	refused int // 503 with Retry-After
	longest time.Duration
	cookies []string
}

// pour has a client make requests without a cookie until stop is closed. Each
// must be answered, with success or the request to come back later.
func (f *flood) pour(t *testing.T, c *rawClient, path string, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		began := time.Now()
		a, err := c.do("POST", path, "")
		if err != nil {
			t.Errorf("POST %s was not answered after %v: %v", path, time.Since(began), err)
			return
		}
		f.mu.Lock()
		f.longest = max(f.longest, time.Since(began))
		switch {
		case a.status == 200:
			f.done++
			if a.cookie != "" {
				f.cookies = append(f.cookies, a.cookie)
			}
		case a.status == 503 && a.retryAfter != "":
			f.refused++
		default:
			t.Errorf("POST %s: %+v", path, a)
		}
		f.mu.Unlock()
	}
}

// Ten times as many clients as may wait for one state, and others who begin
// sessions without end, are answered in time, with success or with 503 and
// Retry-After. Those who have a session and states of their own notice nothing,
// memory stays bounded, everything is as before when they have gone, and what
// was acknowledged is there after a kill.
//
// Proves A3, E6, E8.
func TestSoakOverloadHarmsOnlyItself(t *testing.T) {
	const waiters, begin, maxWait, slack, bound = 32, 16, 2 * time.Second, 20 * time.Second, 192 << 20
	rounds := 25
	if soak() {
		rounds = 5_000
	}
	program := buildCrowd(t)
	args := []string{
		"-db", filepath.Join(t.TempDir(), "app.db"), "-max-waiters", fmt.Sprint(waiters),
		"-max-wait", maxWait.String(), "-max-new-sessions", "50", "-commit", "2ms",
	}
	l := listenCrowd(t, program, args...)
	visitors, visits := make([]*browser, 4), 0
	visit := func(rounds int) { // all of them at once, each round a change and two reads
		t.Helper()
		var wg sync.WaitGroup
		for _, b := range visitors {
			wg.Go(func() {
				for n := range rounds {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					a, err := b.send(ctx, "POST", "/visit?x", nil)
					again, err2 := b.send(ctx, "GET", "/visit", nil)
					total, err3 := b.send(ctx, "GET", "/total", nil)
					cancel()
					want := fmt.Sprintf("%d x", visits+n+1)
					if err != nil || err2 != nil || err3 != nil || a.body != want || again.body != want || total.status != 200 {
						t.Errorf("a visitor of another state: %v, %v and %v, want %q; %v, %v, %v", a, again, total, want, err, err2, err3)
						return
					}
				}
			})
		}
		wg.Wait()
		visits += rounds
		if t.Failed() {
			t.FailNow()
		}
	}
	for i := range visitors {
		visitors[i] = l.browser("")
	}
	visit(20)
	before := l.ask("/goroutines")

	stop := make(chan struct{})
	var onTotal, beginners flood
	var wg sync.WaitGroup
	pour := func(f *flood, n int, path string) func() {
		conns, closeAll := l.dialAll(n)
		for _, c := range conns {
			wg.Go(func() { f.pour(t, c, path, stop) })
		}
		return closeAll
	}
	closeTotal, closeBegin := pour(&onTotal, 10*waiters, "/total?x"), pour(&beginners, begin, "/visit?x")
	visit(rounds)
	close(stop)
	wg.Wait()
	closeTotal()
	closeBegin()
	_, most := resident(t, l.cmd)
	t.Logf("on one state %d done, %d refused, the longest took %v; %d sessions begun, %d refused, the longest took %v; %d MiB resident at most",
		onTotal.done, onTotal.refused, onTotal.longest, beginners.done, beginners.refused, beginners.longest, most>>20)
	if onTotal.done == 0 || onTotal.refused == 0 || beginners.done == 0 || beginners.refused == 0 {
		t.Error("this was no overload, or nobody was served in it")
	}
	if longest := max(onTotal.longest, beginners.longest); longest > maxWait+slack {
		t.Errorf("an answer took %v, MaxWait is %v", longest, maxWait)
	}
	if most > bound {
		t.Errorf("%d MiB were resident, want at most %d", most>>20, bound>>20)
	}

	visit(20)
	if a := l.browser("").do("POST", "/total?x"); a.status != 200 {
		t.Errorf("afterwards: %v", a)
	}
	eventually(t, "the goroutines of the overload end", func() bool { return l.ask("/goroutines") <= before+8 })
	if n := l.ask("/total"); n != onTotal.done+1 {
		t.Errorf("the total is %d after %d acknowledged changes", n, onTotal.done+1)
	}
	l.kill()
	l = listenCrowd(t, program, args...)
	if n := l.ask("/total"); n != onTotal.done+1 {
		t.Errorf("after the kill the total is %d, %d changes were acknowledged", n, onTotal.done+1)
	}
	for _, b := range visitors {
		l.browser(b.cookie).want("GET", "/visit", 200, fmt.Sprintf("%d x", visits))
	}
	for _, cookie := range beginners.cookies[:min(200, len(beginners.cookies))] {
		l.browser(cookie).want("GET", "/visit", 200, "1 x")
	}
}

// A change that blocks keeps nobody from other states and nobody from reading
// its own. Who waits to change it is told to come back after MaxWait, and at
// once where MaxWaiters wait already. When it ends it counts, and so does what
// comes after it.
//
// Proves E6, E8.
func TestSoakBlockedKeyHarmsNoOther(t *testing.T) {
	o := stay.Options{MaxWaiters: 16, MaxWait: 500 * time.Millisecond}
	blocked := time.Duration(0)
	if soak() {
		o = stay.Options{MaxWaiters: 128, MaxWait: 10 * time.Second} // the default
		blocked = 30 * time.Second
	}
	const more = 8
	for _, path := range []string{"/total", "/"} { // everybody's, and a session's own
		t.Run(path, func(t *testing.T) {
			x := serve(t, batched(memstore.New()), &o)
			state, to := x.counter, "/click"
			if path == "/total" {
				state, to = x.total, "/total/click"
			}
			running, goOn := make(chan struct{}), make(chan struct{})
			x.mux.Handle("POST /hold", web.Update(state, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
				close(running)
				<-goOn
				return click(w, r, c)
			}))
			b := x.browser()
			b.do("GET", path)
			began := time.Now()
			holds := b.clone().later("POST", "/hold")
			await(t, "the run", running)

			for wave := 0; wave == 0 || time.Since(began) < blocked; wave++ {
				var tooMany, tooLong, others atomic.Int64
				var wg sync.WaitGroup
				for range o.MaxWaiters + more {
					wg.Go(func() {
						began := time.Now()
						ctx, cancel := context.WithTimeout(t.Context(), patience)
						defer cancel()
						a, err := b.clone().send(ctx, "POST", to, nil)
						took := time.Since(began)
						switch {
						case err != nil || a.status != 503 || a.header.Get("Retry-After") == "":
							t.Errorf("who waits: %v, %v", a, err)
						case strings.Contains(a.body, "too many changes wait"):
							tooMany.Add(1)
						case strings.Contains(a.body, "running for too long") && took >= o.MaxWait:
							tooLong.Add(1)
						default:
							t.Errorf("who waits is told after %v: %v", took, a)
						}
						others.Add(1)
					})
				}
				other, n := x.browser(), 0
				for all := int64(o.MaxWaiters + more); others.Load() < all; {
					n++
					other.want("POST", "/click", 200, fmt.Sprint(n))
					b.clone().want("GET", path, 200, "0")
				}
				wg.Wait()
				if tooMany.Load() != more || tooLong.Load() != int64(o.MaxWaiters) {
					t.Errorf("%d were refused at once and %d after MaxWait, want %d and %d", tooMany.Load(), tooLong.Load(), more, o.MaxWaiters)
				}
				if t.Failed() {
					break
				}
			}
			close(goOn)
			if a := await(t, "the holder", holds); a.status != 200 || a.body != "1" {
				t.Errorf("the holder: %v", a)
			}
			b.want("POST", to, 200, "2")
			b.want("GET", path, 200, "2")
		})
	}
}

// Of ten thousand clients who want to change one state that is blocked, all but
// MaxWaiters are told at once to come back later, the others are served when it
// is free again. That takes a bounded part of the memory, and leaves no
// goroutine.
//
// Proves E6, E8.
func TestSoakTenThousandWaiters(t *testing.T) {
	const waiters, bound = 1024, 640 << 20
	callers := 2_000
	if soak() {
		callers = 10_000
	}
	l := listenCrowd(t, buildCrowd(t), "-db", filepath.Join(t.TempDir(), "app.db"), "-max-wait", "10m")
	l.ask("/total")
	before := l.ask("/goroutines")
	held := l.browser("").later("POST", "/hold")
	l.browser("").want("GET", "/held", 200, "")
	conns, closeAll := l.dialAll(callers)
	answers := make(chan rawAnswer, callers)
	for _, c := range conns {
		go func() {
			a, err := c.do("POST", "/total?x", "")
			if err != nil {
				a.body = err.Error()
			}
			answers <- a
		}()
	}
	for range callers - waiters {
		if a := await(t, "the refusals", answers); a.status != 503 || a.retryAfter == "" {
			t.Fatalf("one too many: %+v", a)
		}
	}
	_, most := resident(t, l.cmd)
	t.Logf("%d MiB resident at most", most>>20)
	if most > bound {
		t.Errorf("%d MiB were resident, want at most %d", most>>20, bound>>20)
	}
	l.browser("").want("POST", "/visit?x", 200, "1 x")
	l.browser("").want("GET", "/total", 200, "0 ")
	l.browser("").want("POST", "/release", 200, "")
	if a := await(t, "the holder", held); a.status != 200 {
		t.Errorf("the holder: %v", a)
	}
	for range waiters {
		if a := await(t, "those who waited", answers); a.status != 200 {
			t.Fatalf("one who waited: %+v", a)
		}
	}
	closeAll()
	if n := l.ask("/total"); n != waiters+1 {
		t.Errorf("the total is %d, want %d", n, waiters+1)
	}
	eventually(t, "the goroutines of those who waited end", func() bool { return l.ask("/goroutines") <= before+8 })
}
