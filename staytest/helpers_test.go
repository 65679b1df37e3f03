package staytest_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
)

// A printer is the testing.TB of an example: it prints failures.
type printer struct {
	testing.TB
	out      io.Writer
	failed   bool
	ctx      context.Context
	cancel   context.CancelFunc
	cleanups []func()
}

func newPrinter() *printer {
	p := &printer{out: os.Stdout}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

func (p *printer) Helper()                  {}
func (p *printer) Context() context.Context { return p.ctx }
func (p *printer) Output() io.Writer        { return p.out }
func (p *printer) Cleanup(fn func())        { p.cleanups = append(p.cleanups, fn) }

func (p *printer) Errorf(format string, args ...any) {
	p.failed = true
	fmt.Fprintf(p.out, format+"\n", args...)
}

func (p *printer) Fatal(args ...any) {
	p.failed = true
	fmt.Fprintln(p.out, args...)
	runtime.Goexit()
}

// end is the end of the test.
func (p *printer) end() {
	p.cancel()
	for len(p.cleanups) > 0 {
		last := len(p.cleanups) - 1
		fn := p.cleanups[last]
		p.cleanups = p.cleanups[:last]
		fn()
	}
}

// failure runs the test with a printer and returns what it printed, "" if it
// passed.
func failure(test func(t testing.TB)) string {
	var text strings.Builder
	p := newPrinter()
	p.out = &text
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer p.end()
		test(p)
	}()
	<-done
	if !p.failed {
		return ""
	}
	return "failed: " + text.String()
}
