// Package powercut says what a disk may hold after a power cut. It reads the
// system calls that a program made, as strace records them, and builds the
// files of one folder as they may be found afterwards: what was synced is
// there, and of what was not, any part.
package powercut

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Options are what strace must be called with, but for the file of the trace
// and the program: all system calls that change files, their data in full and
// in hexadecimal, file descriptors with their paths, no signals.
func Options() []string {
	return []string{
		"-f", "--seccomp-bpf", "-y", "-xx", "-s", strconv.Itoa(maxData), "-e", "signal=none",
		"-e", "trace=" + strings.Join(traced, ","),
	}
}

// maxData is the length of the longest write that a trace has in full.
const maxData = 16 << 20

// traced are the calls that change files, or may hide changes from the trace.
var traced = []string{
	"open", "openat", "openat2", "creat", "write", "writev", "pwrite64", "pwritev", "pwritev2",
	"ftruncate", "truncate", "fallocate", "copy_file_range", "sendfile", "splice",
	"fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "msync", "mmap",
	"unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat",
	"io_uring_setup", "io_submit",
}

// A Call is one system call. Start and End are the lines of the trace in which
// it began and returned, so that they tell the order of all that happened.
type Call struct {
	Name   string
	Args   []string // as they stand in the trace
	Result int64
	Start  int
	End    int // 0: it never returned
}

// Failed reports whether the call returned an error. Of a call that never
// returned nobody knows.
func (c *Call) Failed() bool { return c.End != 0 && c.Result < 0 }

// Parse reads a trace that strace wrote with [Options]. Calls are in the order
// in which they began. It fails on what it does not understand, except in the
// last line, which may be cut off.
func Parse(r io.Reader) ([]Call, error) {
	var calls []Call
	open := map[string]int{} // the call that each thread is in
	in := bufio.NewReaderSize(r, 1<<20)
	for n := 1; ; n++ {
		line, err := in.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return calls, leave(calls, open) // whatever is left was cut off
		}
		if err != nil {
			return nil, err
		}
		if calls, err = parseLine(calls, open, n, strings.TrimSuffix(line, "\n")); err != nil {
			if len(line) > 200 {
				line = line[:80] + " ... " + line[len(line)-100:]
			}
			return nil, fmt.Errorf("line %d of the trace: %w: %s", n, err, line)
		}
	}
}

// leave takes the arguments of calls that never returned.
func leave(calls []Call, open map[string]int) error {
	for _, i := range open {
		c := &calls[i]
		args, _, err := split(c.Args[0] + ")")
		if err != nil {
			return fmt.Errorf("line %d of the trace: %w", c.Start, err)
		}
		c.Args = args
	}
	return nil
}

const (
	unfinished = " <unfinished ...>"
	detached   = " <detached ...>" // where strace ended before the thread
	resumed    = " resumed>"
)

func parseLine(calls []Call, open map[string]int, n int, line string) ([]Call, error) {
	thread, text, ok := strings.Cut(line, " ")
	if _, err := strconv.Atoi(thread); err != nil || !ok {
		return nil, errors.New("it does not begin with the id of a thread")
	}
	text = strings.TrimLeft(text, " ")
	switch {
	case strings.HasPrefix(text, "+++ "), strings.HasPrefix(text, "--- "):
		return calls, nil // the end of a thread, a signal
	case strings.HasPrefix(text, "<... "):
		name, rest, ok := strings.Cut(strings.TrimPrefix(text, "<... "), resumed)
		i, begun := open[thread]
		if !ok || !begun || calls[i].Name != name {
			return nil, errors.New("it goes on with a call that did not begin")
		}
		delete(open, thread)
		c := &calls[i]
		// What was printed of the arguments before ends in c.Args[0].
		return calls, c.finish(n, c.Args[0]+rest)
	}
	if i, begun := open[thread]; begun {
		return nil, fmt.Errorf("its thread is still in %s", calls[i].Name)
	}
	name, rest, ok := strings.Cut(text, "(")
	if !ok || name == "" {
		return nil, errors.New("it is no call")
	}
	c := Call{Name: name, Start: n}
	before, ok := strings.CutSuffix(rest, unfinished)
	if !ok {
		before, ok = strings.CutSuffix(rest, detached)
	}
	if ok {
		c.Args = []string{before}
		open[thread] = len(calls)
		return append(calls, c), nil
	}
	err := c.finish(n, rest)
	return append(calls, c), err
}

// finish takes the arguments and the result from the text behind the name.
func (c *Call) finish(n int, text string) error {
	args, rest, err := split(text)
	if err != nil {
		return err
	}
	_, result, ok := strings.Cut(rest, "= ")
	if !ok {
		return errors.New("it has no result")
	}
	c.Args = args
	word, _, _ := strings.Cut(result, " ")
	word, _, _ = strings.Cut(word, "<") // the path of a new file descriptor
	if word == "?" || strings.Contains(result, "(errno ") {
		// The thread ended in it, or it is about to be made again. An error
		// without a name is what strace sees of a thread that was killed.
		return nil
	}
	if c.Result, err = strconv.ParseInt(word, 0, 64); err != nil {
		if c.Result, err = parseAddress(word); err != nil {
			return errors.New("its result is no number")
		}
	}
	c.End = n
	return nil
}

// parseAddress takes an address of the upper half for a positive number.
func parseAddress(word string) (int64, error) {
	u, err := strconv.ParseUint(word, 0, 64)
	return int64(u >> 1), err
}

// split takes the arguments apart and returns what follows the parenthesis
// that ends them.
func split(text string) (args []string, rest string, err error) {
	from, depth := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			end := strings.IndexByte(text[i+1:], '"') // all of it is in hexadecimal
			if end < 0 {
				return nil, "", errors.New("a text without an end")
			}
			i += 1 + end
			if strings.HasPrefix(text[i+1:], "...") {
				return nil, "", errors.New("data that are cut off")
			}
		case '(', '[', '{', '<':
			depth++
		case ']', '}', '>':
			depth--
		case ')':
			if depth > 0 {
				depth--
				continue
			}
			if last := strings.TrimSpace(text[from:i]); last != "" || len(args) > 0 {
				args = append(args, last)
			}
			return args, text[i+1:], nil
		case ',':
			if depth == 0 {
				args = append(args, strings.TrimSpace(text[from:i]))
				from = i + 1
			}
		}
	}
	return nil, "", errors.New("arguments without an end")
}

// arg returns an argument, "" if there are not so many.
func (c *Call) arg(i int) string {
	if i >= len(c.Args) {
		return ""
	}
	return c.Args[i]
}

// path returns the path of an argument that is a file descriptor, "" if none
// is known.
func (c *Call) path(i int) string {
	_, path, ok := strings.Cut(c.arg(i), "<")
	path, ended := strings.CutSuffix(path, ">")
	if !ok || !ended {
		return ""
	}
	b, err := unhex(path)
	if err != nil {
		return ""
	}
	return string(b)
}

// text returns an argument that is a text, or data.
func (c *Call) text(i int) ([]byte, error) {
	arg := c.arg(i)
	if len(arg) < 2 || arg[0] != '"' || arg[len(arg)-1] != '"' {
		return nil, fmt.Errorf("argument %d of %s is no text", i, c.Name)
	}
	return unhex(arg[1 : len(arg)-1])
}

func (c *Call) number(i int) (int64, error) {
	n, err := strconv.ParseInt(c.arg(i), 0, 64)
	if err != nil {
		return 0, fmt.Errorf("argument %d of %s is no number: %w", i, c.Name, err)
	}
	return n, nil
}

// unhex reads a text of which each byte is written as \x and two digits.
func unhex(s string) ([]byte, error) {
	if len(s)%4 != 0 {
		return nil, errors.New("a text that is not in hexadecimal")
	}
	out := make([]byte, 0, len(s)/4)
	for ; s != ""; s = s[4:] {
		high, low := digit(s[2]), digit(s[3])
		if s[0] != '\\' || s[1] != 'x' || high > 15 || low > 15 {
			return nil, errors.New("a text that is not in hexadecimal")
		}
		out = append(out, high<<4|low)
	}
	return out, nil
}

func digit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// Path returns what the call's first argument, a file descriptor, leads to, ""
// if that is not known.
func (c *Call) Path() string { return c.path(0) }

// Sent returns the data of a write to something that is no file, for example
// a socket, nil if the call is no such write.
func (c *Call) Sent() []byte {
	if c.Name != "write" || !strings.HasPrefix(c.path(0), "socket:") || c.Failed() {
		return nil
	}
	data, err := c.text(1)
	if err != nil {
		return nil
	}
	return data
}
