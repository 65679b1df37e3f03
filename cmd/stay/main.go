// Command stay looks after the stores of programs that use Stay.
//
//	stay copy --from sqlite:app.db --to postgres://app@db.example.com/app?sslmode=verify-full
//
// copies every record from one store into another, see [store.Copy]. A store is
// sqlite:PATH, the postgres:// URL of pgstore, or the redis:// or rediss:// URL of
// redisstore. If the URL has no password, it is taken from PGPASSWORD, from the
// passfile or from a service file, as psql does, or from REDISCLI_AUTH, as
// redis-cli does. The command never prints passwords.
//
// The exit code is 0 when everything was copied, 1 when something failed, 2 when
// the command line is wrong, 3 when the stores have different records, so that
// nothing was overwritten, and 130 when the command was interrupted. After 1 and
// 130, the same command goes on where it was.
//
// [store.Copy]: https://pkg.go.dev/github.com/stay-go/stay/store#Copy
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/stay-go/stay/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitDifferent   = 3
	exitInterrupted = 130
)

// commands are the commands and their flags.
type commands struct {
	Copy    copyCommand    `cmd:"" help:"Copy every record of a store into another one."`
	Version versionCommand `cmd:"" help:"Print the version."`
}

// run runs the command and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	exited := -1 // after --help
	parser, err := kong.New(&commands{}, kong.Name("stay"), kong.Description("Look after the stores of programs that use Stay."),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { exited = code }), kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.BindTo(stderr, (*errorWriter)(nil)), kong.BindTo(stdout, (*io.Writer)(nil)))
	if err != nil {
		panic(err) // the flags above are wrong
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err == nil {
		err = command.Run()
	} else {
		err = &usageError{err}
	}
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintf(stderr, "stay: %s\n", plain(err))
	return exitCode(ctx, err)
}

// errorWriter is where progress and errors go.
type errorWriter io.Writer

// A usageError is a mistake in the command line.
type usageError struct{ error }

func exitCode(ctx context.Context, err error) int {
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[*store.CopyConflict](err); ok {
		return exitDifferent
	}
	if ctx.Err() != nil {
		return exitInterrupted
	}
	return exitFailed
}

// secret matches the part of a URL in front of the host, and passwords behind it.
var secret = regexp.MustCompile(`://\S*@|(?i:password)=[^&\s"]*`)

// plain returns the text of an error without what stands in front for Go
// programs, and without passwords: the parser's errors repeat the command line.
func plain(err error) string {
	text := strings.TrimPrefix(err.Error(), "store: ")
	return secret.ReplaceAllStringFunc(text, func(s string) string {
		if strings.HasPrefix(s, "://") {
			return "://xxxxx@"
		}
		name, _, _ := strings.Cut(s, "=")
		return name + "=xxxxx"
	})
}

type versionCommand struct{}

// Run prints the version of the module, as go install has recorded it.
func (versionCommand) Run(stdout io.Writer) error {
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	_, err := fmt.Fprintf(stdout, "stay %s, %s\n", version, runtime.Version())
	return err
}
