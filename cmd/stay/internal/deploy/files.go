package deploy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
)

// What is done with a file.
const (
	Create    = "create"
	Update    = "update"
	Unchanged = "unchanged"
	Kept      = "kept"    // changed by hand, and there is nothing new
	Refused   = "refused" // changed by hand, and there is something new
)

// A File is a file of the plan.
type File struct {
	Path   string `json:"path"`
	Why    string `json:"why"`
	Action string `json:"action"`
	// Diff is unified, from what is there to what is rendered.
	Diff string `json:"diff,omitempty"`

	name    string
	text    []byte // as rendered, with its first line
	present []byte // as it is there; nil if it is not
}

// effective returns what the file holds after the plan was carried out.
func (f *File) effective() []byte {
	if f.Action == Kept || f.Action == Refused {
		return f.present
	}
	return f.text
}

// The first line of a file says what the rest was when it was written, so that
// what people change is noticed.
const writtenBy = " Written by stay deploy, which leaves it alone once it was changed by hand. sha256:"

var digestLine = regexp.MustCompile(`^(?:#|//)` + regexp.QuoteMeta(writtenBy) + `([0-9a-f]{16})\n`)

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// add adds a rendered file to the plan.
func (p *Plan) add(c *Config, r rendering, body []byte) error {
	f := File{Path: filepath.ToSlash(filepath.Join(c.Dir, r.name)), Why: r.why, name: r.name, text: body}
	if r.comment != "" {
		f.text = append([]byte(r.comment+writtenBy+digest(body)+"\n"), body...)
	}
	path := filepath.Join(p.dir, r.name)
	present, err := os.ReadFile(path) //nolint:gosec // the user names the folder
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	default:
		f.present = present
	}
	f.Action = action(f.present, f.text, digest(body), r.comment == "" || c.Force)
	if f.Action == Refused {
		p.refuse(f.Path+" was changed by hand, and would change", "bring the difference into it, or overwrite it with --force")
	}
	if f.Action != Unchanged && f.Action != Kept {
		f.Diff = difference(f.Path, f.present, f.text)
	}
	p.Files = append(p.Files, f)
	return nil
}

func action(present, text []byte, rendered string, ours bool) string {
	switch {
	case present == nil:
		return Create
	case bytes.Equal(present, text):
		return Unchanged
	case ours:
		return Update
	}
	m := digestLine.FindSubmatch(present)
	switch {
	case m == nil:
		return Refused
	case digest(present[len(m[0]):]) == string(m[1]):
		return Update
	case string(m[1]) == rendered:
		return Kept
	}
	return Refused
}

// difference returns a unified diff, as patch reads it.
func difference(path string, old, text []byte) string {
	from := path
	if old == nil {
		from = "/dev/null"
	}
	out := string(diff.Diff(from, old, path, text))
	_, out, _ = strings.Cut(out, "\n") // a line for programs that have no names
	return out
}

// password finds addresses with a password.
var password = regexp.MustCompile(`[a-z][a-z0-9+]*://[^/\s"'@:]*:[^/\s"'@]+@|(?i:[?&]password=)[^&\s"']+`)

// findPasswords refuses secrets in files that are for version control.
func (p *Plan) findPasswords() {
	for i := range p.Files {
		f := &p.Files[i]
		if password.Match(f.present) {
			f.Diff = "" // it would show what is taken out
		}
		if password.Match(f.effective()) || password.Match(f.text) {
			f.Diff = ""
			p.refuse(f.Path+" would hold an address with a password", "leave it out of --env and of the file, and give it to the target as a secret: see env.example")
		}
	}
}

// Apply writes the files and the secrets. It writes nothing if the plan has
// refusals. What it has written stays if it fails; it may be called again.
func (p *Plan) Apply() error {
	if len(p.Refusals) > 0 {
		return errors.New("the plan was refused")
	}
	if err := os.MkdirAll(p.dir, 0o755); err != nil { //nolint:gosec // a folder for version control
		return err
	}
	// What keeps secrets out of version control comes before them, and the record
	// of what is deployed comes last.
	for _, f := range p.Files {
		if f.name != recordName {
			if err := p.write(f); err != nil {
				return err
			}
		}
	}
	for _, s := range p.Secrets {
		if err := s.write(); err != nil {
			return err
		}
	}
	for _, f := range p.Files {
		if f.name == recordName {
			return p.write(f)
		}
	}
	return nil
}

// write replaces a file as a whole.
func (p *Plan) write(f File) (err error) {
	if f.Action != Create && f.Action != Update {
		return nil
	}
	path := filepath.Join(p.dir, f.name)
	now, err := os.ReadFile(path) //nolint:gosec // the user names the folder
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !bytes.Equal(now, f.present) {
		return fmt.Errorf("%s has changed meanwhile: begin again", f.Path)
	}
	temp, err := os.CreateTemp(p.dir, ".stay-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp.Name())
		}
	}()
	_, err = temp.Write(f.text)
	if err := errors.Join(err, temp.Chmod(0o644), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}
