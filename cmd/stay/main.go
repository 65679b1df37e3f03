// Command stay looks after programs that use Stay and their stores.
//
//	stay init shop --module example.com/shop
//	stay inspect list sqlite:app.db session/
//	stay inspect show sqlite:app.db global/visits/
//	stay inspect history postgres://app@db.example.com/app global/visits/
//	stay doctor postgres://app@db.example.com/app
//	stay copy --from sqlite:app.db --to postgres://app@db.example.com/app
//	stay deploy --target systemd,caddy --domain shop.example.com
//	stay completion bash
//
// A store is sqlite:PATH, the postgres:// URL of pgstore, the redis:// or
// rediss:// URL of redisstore, or the nats:// or tls:// URL of natsstore. If the URL has no password, it is taken from
// PGPASSWORD, from the passfile or from a service file, as psql does, or from
// REDISCLI_AUTH, as redis-cli does. The command never prints passwords, cookies or
// signing keys.
//
// The exit code is 0 when all went well, 1 when something failed, 2 when the
// command line is wrong, 3 when copy found different records, so that nothing was
// overwritten, doctor found something wrong, or deploy would have lost data, and 130
// when the command was interrupted.
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
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

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
	exitFound       = 3
	exitInterrupted = 130
)

// run runs the command and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(escaping{stdout})
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintf(stderr, "stay: %s\n", escape(plain(err, args)))
	code := exitCode(ctx, err)
	if code == exitUsage {
		_, _ = fmt.Fprintln(stderr, `Run "stay help" or add --help to a command to see what it takes.`)
	}
	return code
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "stay",
		Short: "Look after programs that use Stay and their stores",
		Long:  "Look after programs that use Stay and their stores.\n\n" + storeHelp,
		Args:  group,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
		// Errors are printed by run, without passwords.
		SilenceErrors: true,
		SilenceUsage:  true,

		SuggestionsMinimumDistance: 2,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(newInit(), newInspect(), newDoctor(), newCopy(), newDeploy(), newVersion())
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "completion":
			for _, shell := range c.Commands() {
				shell.Args = arguments(0, 0)
			}
		case "help":
			c.Run, c.RunE = nil, func(_ *cobra.Command, args []string) error {
				about, rest, err := root.Find(args)
				if err != nil || len(rest) > 0 {
					return &usageError{fmt.Errorf("there is no command %q", strings.Join(args, " "))}
				}
				return about.Help()
			}
		}
	}
	return root
}

// group takes the arguments of a command that has subcommands: what is there is
// none of them.
func group(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if close := c.SuggestionsFor(args[0]); len(close) > 0 {
		hint = fmt.Sprintf(": did you mean %q?", close[0])
	}
	return &usageError{fmt.Errorf("%q is no command of %s%s", args[0], c.CommandPath(), hint)}
}

// arguments takes at least low and at most high arguments.
func arguments(low, high int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < low:
			return &usageError{fmt.Errorf("an argument is missing: %s", c.UseLine())}
		case len(args) > high:
			return &usageError{fmt.Errorf("unexpected argument %q: %s", args[high], c.UseLine())}
		}
		return nil
	}
}

// A usageError is a mistake in the command line.
type usageError struct{ error }

// errFound says that doctor has found something wrong, and has told it.
var errFound = errors.New("something is wrong")

func exitCode(ctx context.Context, err error) int {
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[*store.CopyConflict](err); ok || errors.Is(err, errFound) || errors.Is(err, errRefused) {
		return exitFound
	}
	if ctx.Err() != nil {
		return exitInterrupted
	}
	return exitFailed
}

// secret matches the part of a URL in front of the host, and passwords behind it.
var secret = regexp.MustCompile(`://\S*@|(?i:password)=[^&\s"]*`)

// plain returns the text of an error without what stands in front for Go
// programs, and without passwords: errors repeat the command line, where a
// password may have spaces and quotes, and drivers repeat URLs.
func plain(err error, args []string) string {
	text := strings.TrimPrefix(err.Error(), "store: ")
	for _, arg := range args {
		for _, form := range []string{arg, strings.Trim(strconv.Quote(arg), `"`)} {
			if strings.Contains(arg, "://") || strings.Contains(strings.ToLower(arg), "password") {
				text = strings.ReplaceAll(text, form, "xxxxx")
			}
		}
	}
	return secret.ReplaceAllStringFunc(text, func(s string) string {
		if strings.HasPrefix(s, "://") {
			return "://xxxxx@"
		}
		name, _, _ := strings.Cut(s, "=")
		return name + "=xxxxx"
	})
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(c.OutOrStdout(), "stay %s, %s\n", version(), runtime.Version())
			return err
		},
	}
}

// version is that of the module, as go install has recorded it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
