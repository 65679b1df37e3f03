package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// BenchmarkNothing is what the tests below run.
func BenchmarkNothing(b *testing.B) {
	for b.Loop() {
		runtime.KeepAlive(b)
	}
}

func quick(t *testing.T, record bool, file string) *options {
	t.Helper()
	return &options{record: record, recorded: file, bench: "^BenchmarkNothing$", count: 1, benchtime: "1x", pkg: "."}
}

// A run is recorded with what the machine is, and a later one is shown beside
// it.
func TestRecordAndCompare(t *testing.T) {
	file := filepath.Join(t.TempDir(), "recorded.txt")
	if err := run(t.Context(), quick(t, true, file), &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	here := machineOf(text)
	for _, part := range parts {
		if here[part] == "" {
			t.Errorf("the recorded run does not tell: %s\n%s", part, text)
		}
	}
	// What does not run now is not compared.
	text = append(text, "BenchmarkLeftOut-1 1 7 ns/op\n"...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), quick(t, false, file), &out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "LeftOut") {
		t.Errorf("what did not run is in the comparison:\n%s", out.String())
	}
	for _, want := range []string{"machine like this one", "recorded", "now", "Nothing", "sec/op", "allocs/op"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the comparison does not show %q:\n%s", want, out.String())
		}
	}
	if strings.Count(out.String(), "Nothing") != 4 { // as it ran, and in three tables
		t.Errorf("the runs are not side by side:\n%s", out.String())
	}

	// The same from another machine is still one comparison, and says so.
	other := strings.Replace(string(text), "processor: "+here["processor"], "processor: abacus", 1)
	other = strings.Replace(other, "cpu: "+here["processor"], "cpu: abacus", 1)
	if err := os.WriteFile(file, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := run(t.Context(), quick(t, false, file), &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "ANOTHER MACHINE") || !strings.Contains(out.String(), "processor: abacus, here") {
		t.Errorf("nothing tells that the recorded run is from another machine:\n%s", out.String())
	}
	if strings.Count(out.String(), "Nothing") != 4 {
		t.Errorf("the runs are not side by side:\n%s", out.String())
	}
}

// What differs decides what can be compared.
func TestDifference(t *testing.T) {
	here := machine{"processor": "a", "cores": "2", "system": "linux/amd64", "go": "go1"}
	for _, c := range []struct {
		recorded machine
		want     string
	}{
		{here, "like this one"},
		{machine{"processor": "a", "cores": "2", "system": "linux/amd64", "go": "go0"}, "another version of Go"},
		{machine{"processor": "a", "cores": "4", "system": "linux/amd64", "go": "go1"}, "cores: 4, here 2"},
		{machine{}, "ANOTHER MACHINE"},
	} {
		if got := difference(c.recorded, here); !strings.Contains(got, c.want) {
			t.Errorf("%v: %q, want %q in it", c.recorded, got, c.want)
		}
	}
}

// Without a recorded run, or without a benchmark, there is nothing to compare.
func TestNothingToCompare(t *testing.T) {
	file := filepath.Join(t.TempDir(), "recorded.txt")
	if err := run(t.Context(), quick(t, false, file), &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "make bench-record") {
		t.Errorf("without a recorded run: %v", err)
	}
	o := quick(t, true, file)
	o.bench = "BenchmarkThatIsNotThere"
	if err := run(t.Context(), o, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "no benchmark") {
		t.Errorf("without a benchmark: %v", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a run of nothing was recorded")
	}
}
