package system_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// An audience looks at the page of a streamserver.
type audience struct {
	t       *testing.T
	address string
	in      io.Writer
	out     *bufio.Reader

	readers sync.WaitGroup
	size    int64
	target  atomic.Int64 // what all are to show
	there   atomic.Int64 // how many do
	all     chan struct{}
	lost    chan error // the streams that ended
}

// gatherAudience starts a streamserver, without the race detector, which allows no
// more than 8,128 goroutines.
func gatherAudience(t *testing.T) *audience {
	t.Helper()
	program := filepath.Join(t.TempDir(), "streamserver")
	// go run keeps what it has linked for the next test, and go build does not.
	if out, err := exec.CommandContext(t.Context(), "go", "run", "-exec", "cp", "../internal/streamserver", program).CombinedOutput(); err != nil {
		t.Fatalf("go run: %v\n%s", err, out)
	}
	cmd := command(program)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a := &audience{t: t, in: in, out: bufio.NewReader(out), all: make(chan struct{}, 1), lost: make(chan error, 1)}
	t.Cleanup(func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server: %v", err)
		}
		a.readers.Wait()
	})
	a.address = a.line()
	return a
}

func (a *audience) line() string {
	a.t.Helper()
	line, err := a.out.ReadString('\n')
	if err != nil {
		a.t.Fatalf("the server says no more: %v", err)
	}
	return strings.TrimSpace(line)
}

func (a *audience) tell(format string, args ...any) string {
	a.t.Helper()
	if _, err := fmt.Fprintf(a.in, format+"\n", args...); err != nil {
		a.t.Fatal(err)
	}
	return a.line()
}

// expect begins a wait for what all will show.
func (a *audience) expect(n int) {
	a.there.Store(0)
	a.target.Store(int64(n))
}

// follow reads a stream to its end.
func (a *audience) follow(r io.Reader) {
	there := int64(-1)
	lines := bufio.NewReaderSize(r, 256)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			select {
			case a.lost <- err:
			default:
			}
			return
		}
		var n int64
		if _, err := fmt.Sscanf(line, "data: <p>n=%d;", &n); err != nil {
			continue
		}
		if target := a.target.Load(); n >= target && there < target {
			there = target
			if a.there.Add(1) == a.size {
				a.all <- struct{}{}
			}
		}
	}
}

// wait returns when all show what they are expected to show.
func (a *audience) wait() {
	a.t.Helper()
	select {
	case <-a.all:
	case err := <-a.lost:
		a.t.Fatalf("a stream ended: %v", err)
	case <-time.After(2 * time.Minute):
		a.t.Fatalf("%d of %d show %d", a.there.Load(), a.size, a.target.Load())
	}
}

// connect opens streams, each on a connection of its own.
func (a *audience) connect(n int) {
	a.t.Helper()
	a.size = int64(n)
	a.expect(0)
	for range n {
		conn, err := (&net.Dialer{}).DialContext(a.t.Context(), "tcp", a.address)
		if err != nil {
			a.t.Fatal(err)
		}
		a.t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, "GET /live HTTP/1.1\r\nHost: app.test\r\nAccept: text/event-stream\r\n\r\n"); err != nil {
			a.t.Fatal(err)
		}
		a.readers.Go(func() { a.follow(conn) })
	}
	a.wait()
}

// multiplex opens streams over a few connections of HTTP/2, which needs fewer
// descriptors than many systems allow a process.
func (a *audience) multiplex(n int) {
	a.t.Helper()
	a.size = int64(n)
	a.expect(0)
	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: &h2}}
	a.t.Cleanup(client.CloseIdleConnections)
	for range n {
		r, err := http.NewRequestWithContext(a.t.Context(), http.MethodGet, "http://"+a.address+"/live", nil)
		if err != nil {
			a.t.Fatal(err)
		}
		r.Header.Set("Accept", "text/event-stream")
		res, err := client.Do(r)
		if err != nil {
			a.t.Fatal(err)
		}
		a.readers.Go(func() {
			defer func() { _ = res.Body.Close() }()
			a.follow(res.Body)
		})
	}
	a.wait()
}

// A change reaches everybody who looks at the page, however many they are, and those
// who change it do not wait for them.
//
// Proves L2, L13.
func TestChangeReachesAllStreams(t *testing.T) {
	streams := 5000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if room := int(min(limit.Cur, 1<<20)) - 500; room < streams {
		fmt.Fprintf(os.Stderr, "%s: %d streams instead of %d, since a process may have %d descriptors here\n", t.Name(), room, streams, limit.Cur)
		streams = room
	}
	a := gatherAudience(t)
	a.connect(streams)
	a.expect(20)
	took := a.tell("burst 20 100ms")
	a.wait()
	t.Logf("%d streams; Update took %s (median, 99th of 100, longest)", streams, took)
}

// The same with 20,000 streams; and the processor time of 1,000 changes a second
// that 200 streams follow.
//
// Proves L2, L13.
func TestSoakChangeReachesAllStreams(t *testing.T) {
	if !soak() {
		t.Skip("a long test: set STAY_SOAK=1")
	}
	t.Run("many", func(t *testing.T) {
		a := gatherAudience(t)
		a.multiplex(20_000)
		a.expect(100)
		took := a.tell("burst 100 100ms")
		a.wait()
		t.Logf("%d streams; Update took %s (median, 99th of 100, longest)", a.size, took)
		a.expect(110)
		took = a.tell("burst 10 3s")
		a.wait()
		t.Logf("%d streams at rest; Update took %s", a.size, took)
	})
	t.Run("fast", func(t *testing.T) {
		a := gatherAudience(t)
		a.connect(200)
		const changes = 10_000
		used := func() time.Duration {
			d, err := time.ParseDuration(a.tell("cpu"))
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		before, begin := used(), time.Now()
		a.expect(changes)
		took := a.tell("burst %d 1ms", changes)
		a.wait()
		elapsed, cpu := time.Since(begin), used()-before
		t.Logf("%d changes in %v to %d streams: %v of processor time, %.2f of a core; Update took %s", changes, elapsed, a.size, cpu, cpu.Seconds()/elapsed.Seconds(), took)
	})
}
