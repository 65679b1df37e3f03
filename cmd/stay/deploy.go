package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/stay-go/stay/cmd/stay/internal/deploy"
	"github.com/stay-go/stay/manifest"
)

// errRefused says that deploy would lose data, and has told why.
var errRefused = errors.New("nothing was written")

type deployFlags struct {
	deploy.Config
	manifest, program, worker string
	dryRun, yes, apply, json  bool
}

func newDeploy() *cobra.Command {
	var f deployFlags
	c := &cobra.Command{
		Use:   "deploy",
		Short: "Plan what a program needs where it runs, and write the files for that",
		Long: "Ask the program in the present folder for its manifest (flag -manifest, see package manifest), say what it needs and why, " +
			"show the files for that as differences to those that are there, and write them after a question.\n\n" +
			"Targets are " + strings.Join(deploy.Targets(), ", ") + ". Secrets are in none of the files. A file that was changed by hand is not overwritten. " +
			"What would lose data is refused with exit code 3.",
		Example: "  stay deploy --target systemd,caddy --domain shop.example.com\n" +
			"  stay deploy --target compose --instances 2 --dry-run\n" +
			"  stay deploy --target cloudflare --container --yes --apply",
		Args: arguments(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return f.run(c.Context(), c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	flags := c.Flags()
	flags.StringSliceVar(&f.Targets, "target", nil, "the `NAMES` of the targets (required)")
	flags.StringVar(&f.Dir, "dir", "deploy", "the `FOLDER` of the files, below the present one")
	flags.StringVar(&f.Name, "name", "", "the `NAME` of the application (default: as before, else that of the folder)")
	flags.StringVar(&f.Package, "package", ".", "the `PACKAGE` of the program")
	flags.StringVar(&f.Store, "store", "", "where it keeps its states, `KIND` is sqlite, postgres, redis, nats or cloudflare (default: what the manifest says, else what fits the target)")
	flags.IntVar(&f.Instances, "instances", 1, "how many processes there are, `N`")
	flags.StringVar(&f.Domain, "domain", "localhost", "the `NAME` of the site, for caddy")
	flags.StringVar(&f.Region, "region", "fra", "the `REGION`, for fly")
	flags.StringVar(&f.Health, "health", "/healthz", "the `PATH` at which the program answers App.Check, \"\" for none")
	flags.StringArrayVar(&f.Env, "env", nil, "a variable of the program's environment, `NAME=VALUE`, no secret; may be repeated")
	flags.BoolVar(&f.Container, "container", false, "cloudflare: run the program there as well, in containers")
	flags.StringVar(&f.manifest, "manifest", "", "read the manifest from `FILE`")
	flags.StringVar(&f.program, "program", "", "the `COMMAND` that prints the manifest (default: the program, built, with -manifest)")
	flags.StringVar(&f.worker, "worker", "", "cloudflare: the script of the Worker, `FILE` (default: that of the program's version of cloudflarestore)")
	flags.StringSliceVar(&f.Dropped, "drop", nil, "the states of these modules, `NAMES`, may be given up")
	flags.BoolVar(&f.Moved, "moved", false, "the records are in the new store already")
	flags.BoolVar(&f.Force, "force", false, "overwrite files that were changed by hand")
	flags.BoolVar(&f.dryRun, "dry-run", false, "write nothing")
	flags.BoolVar(&f.yes, "yes", false, "write without a question")
	flags.BoolVar(&f.apply, "apply", false, "cloudflare: run wrangler deploy")
	flags.BoolVar(&f.json, "json", false, "print the plan as JSON, and ask nothing")
	c.MarkFlagsMutuallyExclusive("manifest", "program")
	c.MarkFlagsMutuallyExclusive("dry-run", "yes")
	c.MarkFlagsMutuallyExclusive("dry-run", "apply")
	return c
}

func (f *deployFlags) run(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	f.Source = "."
	if f.apply && !strings.Contains(strings.Join(f.Targets, ","), "cloudflare") {
		return &usageError{errors.New("--apply is for the target cloudflare: the other targets say what to run")}
	}
	if err := f.ask(ctx, stderr); err != nil {
		return err
	}
	f.Worker = func() (string, error) { return workerScript(ctx, f.worker) }
	p, err := deploy.New(f.Config)
	if _, ok := errors.AsType[*deploy.Mistake](err); ok {
		return &usageError{err}
	}
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if f.json {
		out := json.NewEncoder(&text)
		out.SetIndent("", "  ")
		err = out.Encode(p)
	} else {
		err = p.Print(&text)
	}
	if err == nil {
		_, err = stdout.Write(text.Bytes()) // as a whole: it is escaped on its way, character by character
	}
	switch {
	case err != nil:
		return err
	case len(p.Refusals) > 0:
		return fmt.Errorf("%w: see why above", errRefused)
	case f.dryRun || f.json && !f.yes:
		return nil
	}
	if p.Changes() {
		if !f.yes {
			if ok, err := confirm(stdin, stderr); err != nil || !ok {
				return err
			}
		}
		if err := p.Apply(); err != nil {
			return err
		}
		if !f.json {
			_, _ = fmt.Fprintln(stdout, "Written.")
		}
	}
	if f.apply {
		return wrangler(ctx, f.Dir, stderr)
	}
	return nil
}

// ask reads the manifest of the program.
func (f *deployFlags) ask(ctx context.Context, stderr io.Writer) error {
	if f.manifest != "" {
		text, err := os.ReadFile(f.manifest)
		if err != nil {
			return err
		}
		if f.Program, err = manifest.Read(bytes.NewReader(text)); err != nil {
			return fmt.Errorf("%s: %w", f.manifest, err)
		}
		return nil
	}
	command := strings.Fields(f.program)
	if len(command) == 0 {
		dir, err := os.MkdirTemp("", "stay-deploy-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		command = []string{filepath.Join(dir, "program"), "-manifest"}
		// Built and then run, since go run leaves the program behind when it is ended.
		build := exec.CommandContext(ctx, "go", "build", "-o", command[0], f.Package) //nolint:gosec // the user names the package
		build.Stderr = stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("the program in %s cannot be built, so its manifest is not known: %w", f.Package, err)
		}
	}
	var err error
	if f.Program, err = printed(ctx, command, stderr); err != nil {
		return fmt.Errorf("the program prints no manifest: %w: let it call manifest.Write for the flag -manifest and end, or name a command with --program or a file with --manifest", err)
	}
	return nil
}

// How long a program takes to print its manifest, and how much it is.
const (
	maxPrinting = 30 * time.Second
	maxManifest = 4 << 20
)

// printed returns the manifest that a command prints. A program that does not
// know the flag may go on to serve: it is ended.
func printed(ctx context.Context, command []string, stderr io.Writer) (manifest.Manifest, error) {
	ctx, cancel := context.WithTimeout(ctx, maxPrinting)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // the user names the command
	cmd.Stderr = stderr
	cmd.WaitDelay = time.Second
	out, err := cmd.StdoutPipe()
	if err != nil {
		return manifest.Manifest{}, err
	}
	if err := cmd.Start(); err != nil {
		return manifest.Manifest{}, err
	}
	m, err := manifest.Read(io.LimitReader(out, maxManifest))
	late := ctx.Err() != nil
	if err != nil {
		cancel()
	}
	ended := cmd.Wait()
	switch {
	case late:
		return m, fmt.Errorf("it has not ended after %v", maxPrinting)
	case err != nil && ended != nil && !strings.Contains(ended.Error(), "killed"):
		return m, fmt.Errorf("%w (%w)", err, ended)
	case err != nil:
		return m, err
	}
	return m, ended
}

// workerScript returns the script of the Worker that keeps records: that of the
// version of cloudflarestore with which the program is built, for the two have to
// understand each other.
func workerScript(ctx context.Context, file string) (string, error) {
	if file == "" {
		const store = "github.com/stay-go/stay/store/cloudflarestore"
		out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", store).Output()
		if err != nil {
			return "", fmt.Errorf("the program is not built with %s, whose script the Worker is: add it with go get, or name a script with --worker", store)
		}
		file = filepath.Join(strings.TrimSpace(string(out)), "worker.js")
	}
	text, err := os.ReadFile(file) //nolint:gosec // the user names the file
	return string(text), err
}

// confirm asks on a terminal.
func confirm(stdin io.Reader, stderr io.Writer) (bool, error) {
	if f, ok := stdin.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) { //nolint:gosec // a descriptor is small
		return false, &usageError{errors.New("nothing was written, since there is no terminal to ask: add --yes, or --dry-run")}
	}
	_, _ = fmt.Fprint(stderr, "Write this? [y/N] ")
	line, err := bufio.NewReader(stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}

// wrangler deploys the Worker.
func wrangler(ctx context.Context, dir string, out io.Writer) error {
	name, err := exec.LookPath("wrangler")
	if err != nil {
		name, err = exec.LookPath(filepath.Join(".", "node_modules", ".bin", "wrangler"))
	}
	if err != nil {
		return errors.New("the files are written, and wrangler, which would deploy them, is not there: install it with npm install wrangler")
	}
	cmd := exec.CommandContext(ctx, name, "deploy", //nolint:gosec // found where programs are
		"--config", filepath.Join(dir, "wrangler.jsonc"), "--secrets-file", filepath.Join(dir, "secrets", "cloudflare.env"))
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the files are written, but wrangler deploy failed: %w", err)
	}
	return nil
}
