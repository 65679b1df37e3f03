package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/natsserver"
	"github.com/stay-go/stay/internal/need"
	"github.com/stay-go/stay/internal/process"
	"github.com/stay-go/stay/internal/redisserver"
	"github.com/stay-go/stay/internal/workerd"
	"github.com/stay-go/stay/store/cloudflarestore"
	"github.com/stay-go/stay/tests/browsertest"
)

// nodes are what two-nodes.sh has started.
type nodes struct {
	t       *testing.T
	address string
	input   io.Writer
	lines   chan string
	log     *strings.Builder
}

// startNodes runs the script on the store that a URL names, or on PostgreSQL, which
// the script starts, with more in the environment of the nodes. It skips the test if
// nginx or PostgreSQL is missing, or fails it if they must not be.
func startNodes(t *testing.T, url string, env ...string) *nodes {
	t.Helper()
	for program, pattern := range map[string]string{"nginx": "/usr/sbin/nginx", "initdb": "/usr/lib/postgresql/*/bin/initdb"} {
		found, _ := filepath.Glob(pattern)
		if _, err := exec.LookPath(program); err == nil || len(found) > 0 {
			continue
		}
		need.Missing(t, "no "+program+" found: install Debian's packages nginx-light and postgresql")
	}
	port, err := process.FreePorts(4)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("./two-nodes.sh")
	cmd.Env = append(append(os.Environ(), fmt.Sprintf("PORT=%d", port), "CHAT_STORE="+url), env...)
	n := &nodes{t: t, address: fmt.Sprintf("http://127.0.0.1:%d", port), lines: make(chan string, 100), log: &strings.Builder{}}
	cmd.Stderr = n.log
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	n.input = input
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(n.lines)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			n.lines <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		_ = input.Close() // the script ends everything
		for range n.lines {
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the script: %v\n%s", err, n.log)
		}
	})
	n.wantLine("listening on " + n.address)
	return n
}

func (n *nodes) wantLine(begin string) {
	n.t.Helper()
	for line := range n.lines {
		if strings.HasPrefix(line, begin) {
			return
		}
	}
	n.t.Fatalf("the script ended before it said %q", begin) // the cleanup says why
}

// tell gives the script a command and waits for its answer.
func (n *nodes) tell(command, answer string) {
	n.t.Helper()
	if _, err := io.WriteString(n.input, command+"\n"); err != nil {
		n.t.Fatal(err)
	}
	n.wantLine(answer)
}

// Two nodes on one PostgreSQL or Redis database, on NATS or on Durable Objects serve
// one room, behind a proxy that sends every request to another one. While one of them
// is killed and started again, no message is lost and none comes twice, and
// everybody's unread messages are right.
//
// Proves A5, A17, B11, N1.
func TestInBrowserTwoNodes(t *testing.T) {
	t.Parallel()
	browser := browsertest.Start(t)
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		twoNodes(t, browser, startNodes(t, ""))
	})
	t.Run("Redis", func(t *testing.T) {
		t.Parallel()
		server, err := redisserver.New(t.TempDir())
		need.NoError(t, err, redisserver.ErrMissing)
		t.Cleanup(server.Kill)
		twoNodes(t, browser, startNodes(t, server.URL()))
	})
	t.Run("NATS", func(t *testing.T) {
		t.Parallel()
		server, err := natsserver.New(t.TempDir())
		need.NoError(t, err, natsserver.ErrMissing)
		t.Cleanup(server.Kill)
		twoNodes(t, browser, startNodes(t, server.URL()))
	})
	t.Run("Durable Objects", func(t *testing.T) {
		t.Parallel()
		const secret = "the-secret-of-the-tests"
		server, err := workerd.New(t.TempDir(), workerd.Worker{
			Modules: map[string]string{"main.js": cloudflarestore.Worker()},
			Class:   "StayRecords",
			Binding: "STAY",
			Texts:   map[string]string{"STAY_SECRET": secret},
		})
		need.NoError(t, err, workerd.ErrMissing)
		t.Cleanup(server.Kill)
		twoNodes(t, browser, startNodes(t, "cloudflare:"+server.URL(), "STAY_SECRET="+secret))
	})
}

func twoNodes(t *testing.T, browser *browsertest.Browser, n *nodes) {
	ann, ben := come(t, browser, n.address, "ann"), come(t, browser, n.address, "ben")
	said, nothing := 0, func() {}
	// exchange has each of them say something and checks what both see. Something
	// else may happen while the first message is on its way.
	exchange := func(meanwhile func()) {
		t.Helper()
		for _, p := range []person{ann, ben} {
			said++
			p.insist(fmt.Sprint("message ", said), meanwhile)
			meanwhile = nothing
		}
		for _, p := range []person{ann, ben} {
			p.wantLatest(fmt.Sprint("message ", said))
			p.WantValue("the messages", `[...document.querySelectorAll("#messages .text")].map(m => m.textContent.replace("message ", "")).reverse().join()`, numbers(said))
			p.wantUnread(fmt.Sprint(said / 2))
		}
	}
	// Both nodes answer, whoever asks.
	exchange(nothing)
	served := map[string]bool{}
	for range 20 {
		if len(served) == 2 {
			break
		}
		// The proxy takes the nodes in turn, and a page with its stream is two requests.
		n.ask()
		ann.Reload()
		served[ann.Text("#node")] = true
	}
	if len(served) != 2 {
		t.Errorf("the pages come from %v, want both nodes", served)
	}

	for _, node := range []string{"1", "2"} {
		exchange(func() { n.tell("kill "+node, "node "+node+" was killed") })
		exchange(nothing)
		ben.Reload() // the session is good on the node that is left
		ben.WantText("#user", "ben")
		exchange(func() { n.tell("start "+node, "node "+node+" runs") })
		exchange(nothing)
	}
	ben.Click("#read")
	ben.wantUnread("")
	ann.wantUnread(fmt.Sprint(said / 2))
	ben.Reload()
	ben.wantUnread("")

	// What is said in one room is unread in all, whichever nodes the pages come from,
	// and who is there is known.
	ben.Click("#to-garden")
	ben.WantText("#here", "Nobody else is here.")
	ben.insist("in the garden", nothing)
	ann.wantCountOf("garden", "1")
	ann.Click("#to-garden")
	ann.wantLatest("in the garden")
	ann.wantUnread("1")
	ann.Click("#read")
	ann.wantCountOf("garden", "")
	ben.WantText("#here", "Here: ann and you.") // the nodes tell each other every ten seconds
	ann.WantText("#here", "Here: ben and you.")
}

// ask makes a request of nobody's browser.
func (n *nodes) ask() {
	n.t.Helper()
	r, err := http.NewRequestWithContext(n.t.Context(), http.MethodGet, n.address+"/room/kitchen", nil)
	if err != nil {
		n.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		n.t.Fatal(err)
	}
	_ = resp.Body.Close()
}

// insist says something, and sends it again as long as the page says that it may
// not have arrived: for some seconds the proxy may think that no node answers.
// Something else happens after it was sent for the first time.
func (p person) insist(text string, meanwhile func()) {
	p.Type("#text", text)
	for range 300 {
		p.Click("#send")
		meanwhile()
		meanwhile = func() {}
		p.WantValue("an answer", `String("failed" in document.body.dataset || document.querySelector("#text").value == "")`, "true")
		if p.Eval(`String("failed" in document.body.dataset)`) == "false" {
			break
		}
		p.Eval(`delete document.body.dataset.failed, ""`)
	}
	p.wantCount(text, 1)
}

// numbers are those from 1 to n.
func numbers(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint(i + 1)
	}
	return strings.Join(all, ",")
}
