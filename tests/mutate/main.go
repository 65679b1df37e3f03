// Command mutate breaks lines of the product on purpose, one at a time, and
// has the tests run that must notice. A mutant that no test notices is a hole
// in the tests, and fails the command; so does one whose text is not in its
// file exactly once, or that does not compile. Nothing in the checkout is
// changed: go test gets the broken file as an overlay.
//
//	go run ./tests/mutate              all of them
//	go run ./tests/mutate -only birth  those whose name matches
//	go run ./tests/mutate -write       and writes the table in docs/faults.md
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("mutate", flag.ContinueOnError)
	only := flags.String("only", "", "run the mutants whose name matches this `pattern`")
	write := flags.Bool("write", false, "write the table of results to docs/faults.md")
	timeout := flags.Duration("timeout", 10*time.Minute, "how long the tests of one package may take")
	if err := flags.Parse(args); err != nil {
		return err
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	chosen := slices.DeleteFunc(slices.Clone(mutants), func(m mutant) bool { return !pattern.MatchString(m.name) })
	if len(chosen) == 0 {
		return fmt.Errorf("no mutant is named like %q", *only)
	}
	if *write && len(chosen) != len(mutants) {
		return errors.New("the table is written by a run of all mutants only")
	}
	root, err := findRoot(ctx)
	if err != nil {
		return err
	}
	if problems := check(root, mutants); problems != nil {
		return errors.Join(problems...)
	}
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	r := &runner{root: root, dir: dir, timeout: *timeout}
	rows, err := r.all(ctx, chosen, out)
	if err != nil || !*write {
		return err
	}
	return writeTable(filepath.Join(root, table), rows)
}

// findRoot returns the folder of the workspace.
func findRoot(ctx context.Context) (string, error) {
	work, err := exec.CommandContext(ctx, "go", "env", "GOWORK").Output()
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(string(work)) == "" {
		return "", errors.New("no go.work here: run it in a checkout of the project")
	}
	return filepath.Dir(strings.TrimSpace(string(work))), nil
}

// all runs the mutants and returns the rows of the table. It goes on after
// one that survived, and fails in the end.
func (r *runner) all(ctx context.Context, chosen []mutant, out io.Writer) (rows []string, err error) {
	began := time.Now()
	if _, err := fmt.Fprintln(out, "the tests as they are"); err != nil {
		return nil, err
	}
	if err := r.green(ctx, chosen); err != nil {
		return nil, err
	}
	var bad []error
	for i := range chosen {
		m := &chosen[i]
		pkg, test, err := r.hunt(ctx, m)
		told := fmt.Sprintf("caught by %s %s", pkg, test)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			told = "is none: see below"
			bad = append(bad, err)
		case test == "":
			told = "SURVIVED"
			bad = append(bad, fmt.Errorf("mutant %q of %s survived the tests of %s: they prove less than they should", m.name, m.file, strings.Join(m.tests, ", ")))
		}
		rows = append(rows, m.row(pkg, test))
		if _, err := fmt.Fprintf(out, "%3d/%d %-75s %s\n", i+1, len(chosen), m.name, told); err != nil {
			return nil, err
		}
	}
	if bad != nil {
		return nil, errors.Join(bad...)
	}
	_, err = fmt.Fprintf(out, "all %d mutants were caught, in %v\n", len(chosen), time.Since(began).Round(time.Second))
	return rows, err
}
