package process_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"github.com/stay-go/stay/internal/process"
)

// A program ends with the process that started it, also if that one is killed.
func TestAProgramEndsWithItsStarter(t *testing.T) {
	const asStarter = "STAY_TEST_STARTER"
	if os.Getenv(asStarter) != "" {
		cmd := exec.Command("sh", "-c", "echo started; exec sleep 600")
		cmd.Stdout = os.Stdout
		p, err := process.Start(cmd, syscall.SIGKILL)
		if err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		return
	}
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells a program that its starter has ended")
	}
	starter := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
	starter.Env = append(os.Environ(), asStarter+"=1")
	out, err := starter.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || line != "started\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := starter.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// The program has the other end of the pipe until it ends.
	if _, err := io.Copy(io.Discard, lines); err != nil {
		t.Fatal(err)
	}
	_ = starter.Wait() // it was killed
}

// Whoever waits for a line gets it, also if it comes in parts, and lines that were
// there before do not count.
func TestALogTellsOfNewLines(t *testing.T) {
	var log process.Log
	_, _ = fmt.Fprint(&log, "ready\nrea")
	found := make(chan bool)
	go func() { found <- log.Await(nil, "ready", 1) }()
	_, _ = fmt.Fprint(&log, "dy again\nthe ")
	if !<-found {
		t.Error("the line was not found")
	}
	end := make(chan struct{})
	go func() { found <- log.Await(end, "ready", 2) }()
	_, _ = fmt.Fprint(&log, "end")
	close(end)
	if <-found {
		t.Error("a line was found that was not written")
	}
	if got, want := log.String(), "ready\nready again\nthe end"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
