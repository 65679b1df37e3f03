package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
)

//go:embed project
var project embed.FS

// A newProject is what the files of a new project are made from.
type newProject struct {
	Name   string // of the program
	Module string
	Stay   string // the version of Stay
}

func newInit() *cobra.Command {
	var module string
	var noTidy bool
	c := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Begin a project that runs",
		Long: "Write a project into DIR, or into the present directory: a program with one state, its page and its test, and a Dockerfile. " +
			"Then run go mod tidy there, which fetches the modules.\n\n" +
			"DIR is made if it is not there. No file is overwritten: if one is there already, nothing is written.",
		Example: "  stay init shop --module example.com/shop",
		Args:    arguments(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			p, err := projectAt(dir, module)
			if err != nil {
				return err
			}
			if err := p.write(dir); err != nil {
				return err
			}
			if !noTidy {
				if err := tidy(c.Context(), dir, c.ErrOrStderr()); err != nil {
					return err
				}
			}
			return p.explain(c.OutOrStdout(), dir)
		},
	}
	c.Flags().StringVar(&module, "module", "", "the `PATH` of the module (default: the name of DIR)")
	c.Flags().BoolVar(&noTidy, "no-tidy", false, "do not run go mod tidy")
	return c
}

// validModule is what a module may be called, as far as it has to be checked
// before the go command does: the path goes into files as it stands.
var validModule = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._~-]*(/[a-zA-Z0-9][a-zA-Z0-9._~-]*)*$`)

func projectAt(dir, module string) (*newProject, error) {
	whole, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if module == "" {
		module = filepath.Base(whole)
	}
	if !validModule.MatchString(module) {
		return nil, &usageError{fmt.Errorf("%q cannot be the path of a module: name one, as in --module example.com/shop", module)}
	}
	p := &newProject{Name: path.Base(module), Module: module, Stay: version()}
	if !strings.HasPrefix(p.Stay, "v") || strings.Contains(p.Stay, "+") {
		p.Stay = "" // built from a checkout; go mod tidy takes the latest
	}
	return p, nil
}

// write writes the files, or none of them if one is there already.
func (p *newProject) write(dir string) error {
	files := map[string][]byte{}
	err := fs.WalkDir(project, "project", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := project.ReadFile(name)
		if err != nil {
			return err
		}
		name = strings.TrimPrefix(name, "project/")
		if plain, ok := strings.CutSuffix(name, ".tmpl"); ok {
			// Pages of the project are templates, too, with the usual brackets.
			t, err := template.New(name).Delims("[[", "]]").Option("missingkey=error").Parse(string(text))
			if err != nil {
				return err
			}
			var out bytes.Buffer
			if err := t.Execute(&out, p); err != nil {
				return err
			}
			name, text = plain, out.Bytes()
		}
		name = strings.Replace(name, "dot-", ".", 1)
		files[name] = text
		return nil
	})
	if err != nil {
		return err
	}
	var there []error
	for name := range files {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			there = append(there, fmt.Errorf("%s is there already", filepath.Join(dir, name)))
		}
	}
	if len(there) > 0 {
		return fmt.Errorf("nothing was written: %w", errors.Join(there...))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a folder of sources
		return err
	}
	for name, text := range files {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // sources
		if err != nil {
			return err
		}
		_, err = f.Write(text)
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// tidy fetches the modules that the project uses.
func tidy(ctx context.Context, dir string, out io.Writer) error {
	cmd := exec.CommandContext(ctx, "go", "mod", "tidy")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the files are written, but go mod tidy failed: %w", err)
	}
	return nil
}

func (p *newProject) explain(w io.Writer, dir string) error {
	where := ""
	if dir != "." {
		where = "cd " + dir + "\n  "
	}
	_, err := fmt.Fprintf(w, "%s is ready:\n\n  %sgo test ./...\n  go run .\n\nThen open http://127.0.0.1:3000.\n", p.Name, where)
	return err
}
