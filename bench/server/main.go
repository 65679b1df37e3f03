// Command server is a counter for each session over HTTP: the pages that the benchmarks
// measure, kept by Stay, by the session library scs, by a map, by a map with a log, or
// by nobody. One program holds them all, because programs that differ in what they link
// differ in speed too.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/stay-go/stay/bench/internal/counter"
)

// kinds are what can keep the counters, by the names that -kind takes.
var kinds = map[string]func(where string, flags *counter.Flags) (counter.App, error){
	"bare":     func(string, *counter.Flags) (counter.App, error) { return bare(), nil },
	"mapmutex": func(_ string, flags *counter.Flags) (counter.App, error) { return mapMutex(flags), nil },
	"ceiling":  ceiling,
	"scs":      scsOn,
	"stay":     stayOn,
}

func main() {
	flags := counter.NewFlags(flag.CommandLine)
	kind := flag.String("kind", "stay", "who keeps the counters: stay, scs, ceiling, mapmutex or bare")
	where := flag.String("store", "mem", "where stay and scs keep them: mem, sqlite:DIR for a database in a folder, which is made, or the URL of a PostgreSQL or Redis database; for ceiling log:DIR, a folder likewise")
	flag.Parse()
	if err := run(*kind, *where, flags); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

func run(kind, where string, flags *counter.Flags) error {
	open := kinds[kind]
	if open == nil {
		return fmt.Errorf("-kind is %q: want stay, scs, ceiling, mapmutex or bare", kind)
	}
	app, err := open(where, flags)
	if err != nil {
		return err
	}
	return counter.Serve(flags, app)
}

// folder makes the folder that -store names after a prefix.
func folder(where, prefix string) (dir string, ok bool, err error) {
	dir, ok = strings.CutPrefix(where, prefix)
	if !ok || dir == "" {
		return "", false, nil
	}
	return dir, true, os.MkdirAll(dir, 0o700)
}

// unknown is the error for a -store that a kind does not have.
func unknown(where, want string) error {
	return fmt.Errorf("-store is %q: want %s", where, want)
}
