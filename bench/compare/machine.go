package main

import (
	"fmt"
	"runtime"
	"strings"
)

// prefix begins the lines of a recorded run that are about the machine. Those
// who read benchmarks pass over them.
const prefix = "# "

// A machine is what figures depend on, by name.
type machine map[string]string

// parts are what there is to know of a machine, in the order of a header. The
// version of Go is none of the machine's, but figures depend on it too.
var parts = []string{"processor", "cores", "system", "go"}

// header describes the machine on which a run was made. The processor is what
// go test says it is.
func header(o *options, text []byte) string {
	here := machine{
		"processor": "unknown",
		"cores":     fmt.Sprint(runtime.NumCPU()),
		"system":    runtime.GOOS + "/" + runtime.GOARCH,
		"go":        runtime.Version(),
	}
	for line := range strings.Lines(string(text)) {
		if model, found := strings.CutPrefix(line, "cpu: "); found {
			here["processor"] = strings.TrimSpace(model)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%sA run of go test -bench %s -count %d -benchtime %s %s\n", prefix, o.bench, o.count, o.benchtime, o.pkg)
	for _, part := range parts {
		fmt.Fprintf(&b, "%s%s: %s\n", prefix, part, here[part])
	}
	return b.String()
}

// machineOf reads the header of a run.
func machineOf(text []byte) machine {
	m := machine{}
	for line := range strings.Lines(string(text)) {
		if about, found := strings.CutPrefix(line, prefix); found {
			if part, value, found := strings.Cut(about, ": "); found {
				m[part] = strings.TrimSpace(value)
			}
		}
	}
	return m
}

// difference says whether the times of two runs compare.
func difference(recorded, now machine) string {
	var different []string
	other := false
	for _, part := range parts {
		if recorded[part] != now[part] {
			different = append(different, fmt.Sprintf("  %s: %s, here %s", part, or(recorded[part], "not recorded"), now[part]))
			other = other || part != "go"
		}
	}
	switch {
	case other:
		return "THE RECORDED RUN IS FROM ANOTHER MACHINE. Its times do not compare, its allocations do.\n" + strings.Join(different, "\n")
	case len(different) > 0:
		return "The recorded run was made with another version of Go.\n" + strings.Join(different, "\n")
	}
	return "The recorded run is from a machine like this one."
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
