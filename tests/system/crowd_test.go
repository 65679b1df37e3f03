package system_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	needed "github.com/stay-go/stay/internal/need"
)

// A crowd is a crowdserver that answers through a pipe, and those who ask it.
type crowd struct {
	t   *testing.T
	cmd *exec.Cmd
	out *bufio.Writer
	end io.Closer

	room chan struct{} // one for each request that is under way
	done chan error    // the last answer has come

	mu   sync.Mutex
	next uint64
	open map[uint64]func(reply)
}

// A reply is the answer to a request.
type reply struct {
	status int
	cookie string // "" = none was set
	body   string
}

// window is how many requests are under way at once.
const window = 512

// buildCrowd builds the crowdserver, without the race detector, which takes
// memory of its own.
func buildCrowd(t *testing.T) (program string) {
	t.Helper()
	program = filepath.Join(t.TempDir(), "crowdserver")
	// go run keeps what it has linked for the next test, and go build does not.
	if out, err := exec.CommandContext(t.Context(), "go", "run", "-exec", "cp", "../internal/crowdserver", program).CombinedOutput(); err != nil {
		t.Fatalf("go run: %v\n%s", err, out)
	}
	return program
}

// command is the crowdserver's, in our environment but for what would help it
// with its memory.
func command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GOGC=") && !strings.HasPrefix(v, "GOMEMLIMIT=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	return cmd
}

// gather starts a crowdserver.
func gather(t *testing.T, program string, args ...string) *crowd {
	t.Helper()
	c := &crowd{
		t: t, cmd: command(program, args...), room: make(chan struct{}, window),
		done: make(chan error, 1), open: map[uint64]func(reply){},
	}
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.out, c.end = bufio.NewWriterSize(in, 64<<10), in
	go func() { c.done <- c.listen(out) }()
	t.Cleanup(func() {
		if c.cmd != nil {
			_ = c.cmd.Process.Kill()
			_ = c.cmd.Wait()
		}
	})
	return c
}

// leave has the server close its App and end, and waits for it.
func (c *crowd) leave() {
	c.t.Helper()
	err := errors.Join(c.out.Flush(), c.end.Close(), await(c.t, "the last answers", c.done), c.cmd.Wait())
	c.cmd = nil
	if err != nil {
		c.t.Fatalf("the server: %v", err)
	}
}

// listen hands out the answers.
func (c *crowd) listen(out io.Reader) error {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		parts := strings.SplitN(lines.Text(), " ", 4)
		if len(parts) != 4 {
			return fmt.Errorf("not an answer: %q", lines.Text())
		}
		id, err := strconv.ParseUint(parts[0], 10, 64)
		if err != nil {
			return err
		}
		status, err := strconv.Atoi(parts[1])
		if err != nil {
			return err
		}
		c.mu.Lock()
		heard := c.open[id]
		delete(c.open, id)
		c.mu.Unlock()
		cookie := parts[2]
		if cookie == "-" { // a cookie may begin with it
			cookie = ""
		}
		heard(reply{status: status, cookie: cookie, body: parts[3]})
		<-c.room
	}
	return lines.Err()
}

// send makes a request. It is for one goroutine, and waits while as many as
// fit are under way. heard is called with the answer, by another goroutine but
// for one request after the other.
func (c *crowd) send(method, path, cookie string, heard func(reply)) {
	c.t.Helper()
	c.enter()
	if cookie == "" {
		cookie = "-"
	}
	c.mu.Lock()
	id := c.next
	c.next++
	c.open[id] = heard
	c.mu.Unlock()
	if _, err := fmt.Fprintf(c.out, "%d %s %s %s\n", id, method, path, cookie); err != nil {
		c.t.Fatal(err)
	}
}

// enter waits for room.
func (c *crowd) enter() {
	c.t.Helper()
	select {
	case c.room <- struct{}{}:
		return
	default:
	}
	if err := c.out.Flush(); err != nil {
		c.t.Fatal(err)
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case c.room <- struct{}{}:
	case <-t.C:
		c.t.Fatal("the server answers nothing")
	}
}

// settle waits until everything is answered.
func (c *crowd) settle() {
	c.t.Helper()
	if err := c.out.Flush(); err != nil {
		c.t.Fatal(err)
	}
	for range window {
		c.enter()
	}
	for range window {
		<-c.room
	}
}

// ask makes one request and waits for the answer.
func (c *crowd) ask(method, path, cookie string) (got reply) {
	c.t.Helper()
	c.send(method, path, cookie, func(r reply) { got = r })
	c.settle()
	return got
}

// heap is how many bytes the server has in use once the garbage has gone.
func (c *crowd) heap() int {
	c.t.Helper()
	n, err := number(c.ask("GET", "/heap", "").body)
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// resident is how many bytes of memory a process has, now and at most so far.
func resident(t *testing.T, cmd *exec.Cmd) (now, most int) {
	t.Helper()
	if runtime.GOOS != "linux" {
		needed.Missing(t, "what a process has in memory is known on Linux only")
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	of := func(name string) (n int) {
		_, rest, _ := strings.Cut(string(text), name+":")
		if _, err := fmt.Sscanf(rest, "%d kB", &n); err != nil {
			t.Fatalf("no %s in %s", name, text)
		}
		return n << 10
	}
	return of("VmRSS"), of("VmHWM")
}

// A population is sessions and what their states must be.
type population struct {
	cookies []string
	counts  []uint8 // how often each was changed
	wrong   int
}

func newPopulation(n int) *population {
	return &population{cookies: make([]string, n), counts: make([]uint8, n)}
}

// note is what the n-th change of session i writes. With it the state has 100
// bytes when it is encoded.
func note(i int, n uint8) string {
	if n == 0 {
		return ""
	}
	s := fmt.Sprintf("session=%d&change=%d&", i, n)
	return s + strings.Repeat("x", 100-len(`{"count":1,"note":""}`)-len(s))
}

// change changes the state of a session, and begins the session if it is new.
func (p *population) change(c *crowd, i int) {
	c.t.Helper()
	n := p.counts[i] + 1
	c.send("POST", "/visit?"+note(i, n), p.cookies[i], func(r reply) {
		p.check(c.t, i, n, r)
		if r.status == 200 {
			p.counts[i] = n
		}
		if p.cookies[i] == "" {
			p.cookies[i] = r.cookie
		}
	})
}

// look reads the state of a session.
func (p *population) look(c *crowd, i int) {
	c.t.Helper()
	n := p.counts[i]
	c.send("GET", "/visit", p.cookies[i], func(r reply) { p.check(c.t, i, n, r) })
}

// check compares the answer for a session with what its state must be. No
// session may be lost, so only the first answer sets a cookie.
func (p *population) check(t *testing.T, i int, n uint8, r reply) {
	want := fmt.Sprintf("%d %s", n, note(i, n))
	if r.status == 200 && r.body == want && (r.cookie == "") == (p.cookies[i] != "") {
		return
	}
	if p.wrong++; p.wrong < 10 {
		t.Errorf("session %d: %+v, want %q", i, r, want)
	}
}
