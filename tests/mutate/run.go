package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A runner runs the tests of a checkout.
type runner struct {
	root    string
	dir     string // for overlays; a new one for each run is made in it
	timeout time.Duration
}

// A verdict is what the tests of one package said.
type verdict struct {
	test   string // the first that failed; "" if none did
	output []byte // of everything
}

var errBuild = errors.New("does not compile")

// test runs the tests of a package with some files replaced. An error means
// that they could not be run.
func (r *runner) test(ctx context.Context, pkg, overlay string) (verdict, error) {
	args := []string{"test", "-json", "-vet=off", "-count=1", "-failfast", "-timeout", r.timeout.String()}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...)
	cmd.Dir = r.root
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.Output()
	v, built := parse(out)
	v.output = append(v.output, errors.Bytes()...)
	switch {
	case ctx.Err() != nil:
		return v, ctx.Err()
	case !built:
		return v, errBuild
	case err != nil && v.test == "":
		v.test = "(the package as a whole)"
	case err == nil && v.test != "":
		return v, fmt.Errorf("go test passed although %s failed", v.test)
	}
	return v, nil
}

// An event is what test2json tells of.
type event struct {
	Action, Test, Output, FailedBuild string
}

// parse finds the first test that failed.
func parse(out []byte) (v verdict, built bool) {
	built = true
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			v.output = append(append(v.output, lines.Bytes()...), '\n')
			continue
		}
		v.output = append(v.output, e.Output...)
		switch {
		case e.Action == "build-fail" || e.FailedBuild != "":
			built = false
		case e.Action == "fail" && e.Test != "" && v.test == "":
			v.test, _, _ = strings.Cut(e.Test, "/")
		}
	}
	return v, built
}

// green says which packages fail although nothing is broken.
func (r *runner) green(ctx context.Context, all []mutant) error {
	seen := map[string]bool{}
	for _, m := range all {
		for _, pkg := range m.tests {
			if seen[pkg] {
				continue
			}
			seen[pkg] = true
			v, err := r.test(ctx, pkg, "")
			if err != nil {
				return fmt.Errorf("%s, as it is: %w\n%s", pkg, err, v.output)
			}
			if v.test != "" {
				return fmt.Errorf("%s fails as it is, in %s:\n%s", pkg, v.test, v.output)
			}
		}
	}
	return nil
}

// hunt runs the packages that must notice a mutant until one does. It returns
// that one and its test; "" means that the mutant survived.
func (r *runner) hunt(ctx context.Context, m *mutant) (pkg, test string, err error) {
	text, err := os.ReadFile(filepath.Join(r.root, m.file))
	if err != nil {
		return "", "", err
	}
	changed, err := m.broken(string(text))
	if err != nil {
		return "", "", err
	}
	dir, err := os.MkdirTemp(r.dir, "mutant")
	if err != nil {
		return "", "", err
	}
	path, err := overlay(dir, r.root, map[string]string{m.file: changed})
	if err != nil {
		return "", "", err
	}
	for _, pkg := range m.tests {
		v, err := r.test(ctx, pkg, path)
		if err != nil {
			return "", "", fmt.Errorf("mutant %q, tests of %s: %w\n%s", m.name, pkg, err, v.output)
		}
		if v.test != "" {
			return pkg, v.test, nil
		}
	}
	return "", "", nil
}
