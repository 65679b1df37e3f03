// Command compare runs Go benchmarks several times and compares them, by
// benchstat, with a run that was recorded before. Run it in the project's
// folder:
//
//	go run ./bench/compare [-record] [-bench REGEXP] [-count N] [-benchtime D] [-recorded FILE] [-pkg PACKAGE]
//
// With -record the run is recorded, together with what the machine is, in
// place of the one before. Times say something only beside times of the same
// machine, doing as little else; allocations always do.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// short are the benchmarks that run by default: one change and one read of a
// small state, which most requests consist of, and MapMutex, which has nothing
// of Stay in it: where that has changed, the machine has.
const short = `^Benchmark(Update|Get|MapMutex)$`

type options struct {
	record    bool
	recorded  string
	bench     string
	count     int
	benchtime string
	pkg       string
}

func main() {
	var o options
	flag.BoolVar(&o.record, "record", false, "record the run instead of comparing it")
	flag.StringVar(&o.recorded, "recorded", "bench/recorded.txt", "`file` of the recorded run")
	flag.StringVar(&o.bench, "bench", short, "`regexp` that selects benchmarks, as that of go test does")
	flag.IntVar(&o.count, "count", 6, "how often each runs; benchstat needs six to tell a change from noise")
	flag.StringVar(&o.benchtime, "benchtime", "200ms", "how long each runs, or NUMBERx for how often")
	flag.StringVar(&o.pkg, "pkg", "./bench", "`package` of the benchmarks")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// run measures, then records or compares.
func run(ctx context.Context, o *options, out io.Writer) error {
	before, err := os.ReadFile(o.recorded)
	if err != nil && !o.record {
		return fmt.Errorf("there is no recorded run to compare with: %w (make bench-record makes one)", err)
	}
	text, err := measure(ctx, o, out)
	if err != nil {
		return err
	}
	text = append([]byte(header(o, text)), text...)
	if o.record {
		if err := os.WriteFile(o.recorded, text, 0o644); err != nil {
			return err
		}
		_, err := fmt.Fprintf(out, "\nrecorded in %s\n", o.recorded)
		return err
	}
	if _, err := fmt.Fprintf(out, "\n%s\n", difference(machineOf(before), machineOf(text))); err != nil {
		return err
	}
	return benchstat(ctx, only(before, text), text, out)
}

// only returns a run without the benchmarks that another lacks.
func only(run, other []byte) []byte {
	known := map[string]bool{}
	for line := range bytes.Lines(other) {
		known[name(line)] = true
	}
	var kept []byte
	for line := range bytes.Lines(run) {
		if n := name(line); n == "" || known[n] {
			kept = append(kept, line...)
		}
	}
	return kept
}

// name returns that of the benchmark of which a line tells, "" if of none.
func name(line []byte) string {
	first, _, _ := bytes.Cut(line, []byte(" "))
	if !bytes.HasPrefix(first, []byte("Benchmark")) {
		return ""
	}
	return string(bytes.TrimSpace(first))
}

// measure runs the benchmarks and returns what they print.
func measure(ctx context.Context, o *options, out io.Writer) ([]byte, error) {
	var text bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", o.bench, "-benchmem",
		"-count", strconv.Itoa(o.count), "-benchtime", o.benchtime, "-timeout", "1h", o.pkg)
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&text, out), os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w", cmd, err)
	}
	if !bytes.Contains(text.Bytes(), []byte("\nBenchmark")) {
		return nil, fmt.Errorf("no benchmark of %s matches %s", o.pkg, o.bench)
	}
	return text.Bytes(), nil
}

// benchstat prints both runs side by side. Where the machines differ it would
// show two tables with one run in each, so it is told not to look at that.
func benchstat(ctx context.Context, before, after []byte, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "stay-compare-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	args := []string{"tool", "benchstat", "-ignore", "cpu,goos,goarch"}
	for _, run := range []struct {
		name string
		text []byte
	}{{"recorded", before}, {"now", after}} {
		file := filepath.Join(dir, run.name)
		if err := os.WriteFile(file, run.text, 0o600); err != nil {
			return err
		}
		args = append(args, run.name+"="+file)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stdout, cmd.Stderr = out, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, strings.TrimSpace(stderr.String()))
	}
	return nil
}
