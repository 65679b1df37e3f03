// Package bench holds the benchmarks of Stay. The Go benchmarks measure it in
// process; the command in folder report measures it behind HTTP, beside a bare
// handler and beside what programs use without it. Folder server is the
// program that is measured, folder peer are those it is measured against. The
// command in folder compare shows a run of the Go benchmarks beside one that
// was recorded. What is measured and why is in docs/performance.md.
package bench
