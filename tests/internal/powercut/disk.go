package powercut

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// A Disk is one folder on a disk whose power may be cut. It knows what was
// synced, and what was not: the writes to each file and the names that came
// and went, in their order. Times are lines of the trace.
type Disk struct {
	dir   string
	names map[string]*name
}

// NewDisk returns an empty folder.
func NewDisk(dir string) *Disk { return &Disk{dir: dir, names: map[string]*name{}} }

// A name is an entry of the folder. It may lead to another file after the
// folder was synced, or to none.
type name struct {
	now     *file // nil = there is none
	synced  *file
	pending []*change // since
}

// A change of a name.
type change struct {
	to   *file
	done bool // the call has returned
}

// A file is what names lead to.
type file struct {
	synced  []byte
	pending []*write // since
}

// A write to a file, or a truncation, which has no data.
type write struct {
	offset int64
	data   []byte
	done   bool // the call has returned
}

// An event is something that a call does to the disk: when it begins, or when
// it returns.
type event struct {
	line int
	do   func()
}

// A Recorder plays a trace onto a disk.
type Recorder struct {
	disk   *Disk
	events []event
	next   int
	err    error
}

// Record returns a recorder of what the calls do to the disk, in the order in
// which they did. It fails on calls that change the folder in a way that it
// does not know.
func Record(d *Disk, calls []Call) (*Recorder, error) {
	r := &Recorder{disk: d}
	for i := range calls {
		if err := r.call(&calls[i]); err != nil {
			return nil, fmt.Errorf("line %d of the trace: %w", calls[i].Start, err)
		}
	}
	return r, nil
}

// Ended says that in this line the program had ended, and what the folder had
// in it then. So what became of calls that never returned is known from there
// on. It must come before Play.
func (r *Recorder) Ended(line int, found map[string][]byte) {
	r.at(line, func() {
		if err := r.disk.settle(found); err != nil && r.err == nil {
			r.err = fmt.Errorf("line %d of the trace: %w", line, err)
		}
	})
}

// Play plays what happened before a line of the trace. It fails if a program
// that ended left something else than the trace shows.
func (r *Recorder) Play(before int) error {
	if r.next == 0 {
		slices.SortStableFunc(r.events, func(a, b event) int { return a.line - b.line })
	}
	for ; r.next < len(r.events) && r.events[r.next].line < before; r.next++ {
		r.events[r.next].do()
	}
	return r.err
}

// in returns the name of a path within the folder; the folder's own is ".".
func (d *Disk) in(path string) (string, bool) {
	rel, err := filepath.Rel(d.dir, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return "", false
	}
	return rel, true
}

func (d *Disk) name(base string) *name {
	if d.names[base] == nil {
		d.names[base] = &name{}
	}
	return d.names[base]
}

func (r *Recorder) at(line int, do func()) {
	if line > 0 {
		r.events = append(r.events, event{line, do})
	}
}

func (r *Recorder) call(c *Call) error {
	switch c.Name {
	case "open", "openat", "openat2", "creat":
		return r.open(c)
	case "write", "pwrite64":
		return r.write(c)
	case "ftruncate":
		return r.truncate(c)
	case "fsync", "fdatasync":
		r.sync(c)
		return nil
	case "unlink", "unlinkat":
		return r.unlink(c)
	case "mmap":
		// What a program writes to memory is in no trace. SQLite does so with
		// its index of the log, which is made anew after a crash.
		base, ok := r.disk.in(c.path(4))
		if ok && strings.Contains(c.arg(3), "MAP_SHARED") && strings.Contains(c.arg(2), "PROT_WRITE") && !Volatile(base) {
			return fmt.Errorf("%s is written to through memory, which no trace shows", base)
		}
		return nil
	}
	for i := range c.Args {
		path := c.path(i)
		if path == "" {
			if text, err := c.text(i); err == nil {
				path = string(text)
			}
		}
		if base, ok := r.disk.in(path); ok && filepath.IsAbs(path) && !c.Failed() {
			return fmt.Errorf("%s changes %s in a way that is not known here", c.Name, base)
		}
	}
	return nil
}

// Volatile reports whether a file's content means nothing after a crash.
func Volatile(base string) bool { return strings.HasSuffix(base, "-shm") }

func (r *Recorder) open(c *Call) error {
	path := 0
	if c.Name == "openat" || c.Name == "openat2" {
		path = 1
	}
	text, err := c.text(path)
	if err != nil {
		return err
	}
	flags := c.arg(path + 1)
	if !filepath.IsAbs(string(text)) {
		text = []byte(filepath.Join(c.path(0), string(text)))
	}
	base, ok := r.disk.in(string(text))
	if !ok || base == "." || c.End == 0 || c.Failed() {
		return nil
	}
	create := c.Name == "creat" || strings.Contains(flags, "O_CREAT")
	r.at(c.End, func() {
		n := r.disk.name(base)
		switch {
		case n.now == nil && create:
			n.now = &file{}
			n.pending = append(n.pending, &change{to: n.now, done: true})
		case n.now != nil && (c.Name == "creat" || strings.Contains(flags, "O_TRUNC")):
			n.now.pending = append(n.now.pending, &write{done: true})
		}
	})
	return nil
}

// change adds a write to the file that a descriptor leads to.
func (r *Recorder) change(c *Call, base string, w *write) {
	var f *file
	r.at(c.Start, func() {
		if c.Failed() {
			return
		}
		if f = r.disk.name(base).now; f != nil {
			f.pending = append(f.pending, w)
		}
	})
	r.at(c.End, func() { w.done = true })
}

func (r *Recorder) write(c *Call) error {
	base, ok := r.disk.in(c.path(0))
	if !ok {
		return nil
	}
	if c.Name == "write" {
		return fmt.Errorf("a write to %s that does not say where", base)
	}
	data, err := c.text(1)
	if err != nil {
		return err
	}
	offset, err := c.number(3)
	if err != nil {
		return err
	}
	if c.End != 0 && c.Result >= 0 && c.Result < int64(len(data)) {
		data = data[:c.Result]
	}
	if offset < 0 || offset > maxFile {
		return fmt.Errorf("a write to %s at %d", base, offset)
	}
	r.change(c, base, &write{offset: offset, data: data})
	return nil
}

// maxFile bounds what is taken for a file's length.
const maxFile = 1 << 26

func (r *Recorder) truncate(c *Call) error {
	base, ok := r.disk.in(c.path(0))
	if !ok {
		return nil
	}
	size, err := c.number(1)
	if err != nil || size < 0 || size > maxFile {
		return fmt.Errorf("%s is truncated to %s", base, c.arg(1))
	}
	r.change(c, base, &write{offset: size})
	return nil
}

// sync makes durable what had been done when the sync began.
func (r *Recorder) sync(c *Call) {
	base, ok := r.disk.in(c.path(0))
	if !ok || c.End == 0 || c.Failed() {
		return
	}
	var after func()
	r.at(c.Start, func() {
		if base == "." {
			after = r.disk.syncNames()
		} else if f := r.disk.name(base).now; f != nil {
			after = f.sync()
		}
	})
	r.at(c.End, func() {
		if after != nil {
			after()
		}
	})
}

func (f *file) sync() (after func()) {
	covered := map[*write]bool{}
	for _, w := range f.pending {
		covered[w] = w.done
	}
	return func() {
		f.pending = slices.DeleteFunc(f.pending, func(w *write) bool {
			if covered[w] {
				f.synced = w.apply(f.synced)
			}
			return covered[w]
		})
	}
}

func (d *Disk) syncNames() (after func()) {
	covered := map[*change]bool{}
	for _, n := range d.names {
		for _, ch := range n.pending {
			covered[ch] = ch.done
		}
	}
	return func() {
		for _, n := range d.names {
			n.pending = slices.DeleteFunc(n.pending, func(ch *change) bool {
				if covered[ch] {
					n.synced = ch.to
				}
				return covered[ch]
			})
		}
	}
}

func (r *Recorder) unlink(c *Call) error {
	path := 0
	if c.Name == "unlinkat" {
		path = 1
	}
	text, err := c.text(path)
	if err != nil {
		return err
	}
	if !filepath.IsAbs(string(text)) {
		text = []byte(filepath.Join(c.path(0), string(text)))
	}
	base, ok := r.disk.in(string(text))
	if !ok || c.Failed() {
		return nil
	}
	gone := &change{}
	r.at(c.Start, func() {
		n := r.disk.name(base)
		n.pending = append(n.pending, gone)
	})
	r.at(c.End, func() {
		r.disk.name(base).now = nil
		gone.done = true
	})
	return nil
}
