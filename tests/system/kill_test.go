package system_test

import (
	"bufio"
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A process is a server of its own, built without the race detector.
type process struct {
	t       *testing.T
	program string
	db      string
	url     string
	cmd     *exec.Cmd
	client  *http.Client
}

func buildServer(t *testing.T) *process {
	t.Helper()
	dir := t.TempDir()
	p := &process{t: t, program: filepath.Join(dir, "clickserver"), db: filepath.Join(dir, "app.db")}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", p.program, "../internal/clickserver").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if p.cmd != nil {
			p.kill()
		}
	})
	return p
}

// start runs the server and waits until it listens.
func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.program, p.db)
	p.cmd.Stderr = os.Stderr
	if _, err := p.cmd.StdinPipe(); err != nil { // the server ends when it closes
		p.t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		p.kill()
		p.t.Fatalf("the server did not say where it listens: %v", err)
	}
	p.url = "http://" + strings.TrimSpace(line)
	p.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
}

// kill ends the server as kill -9 does.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Error(err)
	}
	var exit *exec.ExitError
	if err := p.cmd.Wait(); !errors.As(err, &exit) {
		p.t.Errorf("after kill -9: %v", err)
	}
	p.cmd = nil
	if p.client != nil {
		p.client.CloseIdleConnections()
	}
}

func (p *process) browser(cookie string) *browser {
	return &browser{t: p.t, client: p.client, url: p.url, cookie: cookie}
}

// A tally is what is known of one counter: every click that was acknowledged
// is in it, one whose answer was lost may be.
type tally struct {
	mu          sync.Mutex
	acked, sent int
}

func (c *tally) click(ctx context.Context, b *browser, path string) bool {
	c.mu.Lock()
	c.sent++
	c.mu.Unlock()
	a, err := b.send(ctx, "POST", path, nil)
	if err != nil || a.status != http.StatusOK {
		return false
	}
	c.mu.Lock()
	c.acked++
	c.mu.Unlock()
	return true
}

// check compares with what the server says now, and goes on from there.
func (c *tally) check(b *browser, path string) {
	b.t.Helper()
	a := b.do("GET", path)
	n, err := number(a.body)
	if err != nil || a.status != http.StatusOK {
		b.t.Fatalf("GET %s: %v", path, a)
	}
	if n < c.acked || n > c.sent {
		b.t.Errorf("%s is %d after the kill; %d clicks were acknowledged and %d sent", path, n, c.acked, c.sent)
	}
	c.acked, c.sent = n, n
}

// A3: whenever the server is killed, every acknowledged click is there after
// the restart, and none that was not made; the sessions go on.
func TestSoakKill9(t *testing.T) {
	rounds := 50
	if soak() {
		rounds = 1000
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	const browsers = 8
	p := buildServer(t)
	var total tally
	own := make([]tally, browsers)
	cookies := make([]string, browsers)
	for round := range rounds {
		p.start()
		total.check(p.browser(""), "/total")
		for i := range browsers {
			if cookies[i] != "" {
				own[i].check(p.browser(cookies[i]), "/")
			}
		}
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}

		// After so many answers the server is killed, in the middle of others.
		enough := make(chan struct{})
		acks := make(chan struct{}, 1<<10)
		n := 1 + random.IntN(200)
		go func() {
			defer close(enough)
			for range n {
				<-acks
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		var wg sync.WaitGroup
		for i := range browsers {
			b := p.browser(cookies[i])
			if cookies[i] == "" || random.IntN(10) == 0 { // a new session
				own[i] = tally{}
				b = p.browser("")
			}
			wg.Go(func() {
				for n := 0; ; n++ {
					ok := false
					if n%2 == 0 {
						ok = own[i].click(ctx, b, "/click")
					} else {
						ok = total.click(ctx, b, "/total/click")
					}
					if !ok {
						break
					}
					select {
					case acks <- struct{}{}:
					case <-enough:
					}
				}
				if b.cookie == "" {
					own[i] = tally{} // nobody can ask for it
				}
				cookies[i] = b.cookie
			})
		}
		await(t, "acknowledged clicks", enough)
		p.kill()
		wg.Wait()
		cancel()
	}
	p.start()
	total.check(p.browser(""), "/total")
	for i := range browsers {
		if cookies[i] != "" {
			own[i].check(p.browser(cookies[i]), "/")
		}
	}
	t.Logf("%d rounds, the total is %d", rounds, total.acked)
	if total.acked < rounds {
		t.Errorf("only %d clicks in %d rounds prove nothing", total.acked, rounds)
	}
}
