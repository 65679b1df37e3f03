// Package browsertest drives a real Chromium in tests: one browser, and pages
// that share neither cookies nor storage with each other.
//
// Without a browser on the machine a test is skipped with a message on
// standard error, and fails when STAY_TEST_REQUIRE is set, as make test does.
package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/stay-go/stay/internal/need"
)

// timeout is how long one step of a page may take. It is long because test
// machines are slow; no step waits for it when all is well.
const timeout = 45 * time.Second

// pollInterval is how often a page is asked for something that is awaited.
const pollInterval = 20 * time.Millisecond

// names are the programs that count as a browser, the preferred one first.
var names = [...]string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}

// A Browser is one running Chromium. Its methods may be called concurrently.
type Browser struct {
	ctx context.Context
}

// running is the browser without flags that tests of this process use now.
var running struct {
	sync.Mutex
	*Browser
	users int
	stop  func()
}

// Start starts a browser that ends with the test t. Starting takes seconds, so a test
// gets the browser of another one that runs at the same time, and only the last of
// them ends it: the pages share nothing. The environment variable STAY_CHROMIUM names
// the program to start instead of the one in the PATH.
//
// flags are further flags of its command line, as name=value; one that is set
// here already is replaced. With flags, a browser is the test's own.
func Start(t testing.TB, flags ...string) *Browser {
	t.Helper()
	if len(flags) > 0 {
		b, stop := start(t, flags)
		t.Cleanup(stop)
		return b
	}
	running.Lock()
	defer running.Unlock()
	if running.users == 0 {
		running.Browser, running.stop = start(t, nil)
	}
	running.users++
	t.Cleanup(func() {
		running.Lock()
		defer running.Unlock()
		if running.users--; running.users == 0 {
			running.stop()
		}
	})
	return running.Browser
}

func start(t testing.TB, flags []string) (b *Browser, stop func()) {
	t.Helper()
	program := find(t)
	temp, err := os.MkdirTemp("", "browsertest")
	if err != nil {
		t.Fatal(err)
	}
	// Its last process may still be writing; then the rest stays behind.
	remove := func() { _ = os.RemoveAll(temp) }
	options := append(
		chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program),
		chromedp.NoSandbox, // as root there is no sandbox, and the pages are ours
		chromedp.DisableGPU,
		chromedp.Env("TMPDIR="+temp),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		// With a page that comes back from the back/forward cache the
		// debugging protocol never answers. Pages are prerendered however
		// little memory the machine has left.
		chromedp.Flag("disable-features", "Translate,BackForwardCache,Prerender2MemoryControls"),
		chromedp.Flag("memory-pressure-off", true),
	)
	for _, flag := range flags {
		name, value, _ := strings.Cut(flag, "=")
		options = append(options, chromedp.Flag(name, value))
	}
	for tries := 1; ; tries++ {
		allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
		ctx, cancel := chromedp.NewContext(allocator)
		// The browser lives as long as the context of this call, so it has no
		// timeout of its own.
		err := chromedp.Do(ctx)
		if err == nil {
			return &Browser{ctx: ctx}, func() { cancel(); end(); remove() }
		}
		cancel()
		end()
		// Chromium itself crashes now and then as it starts on a busy machine.
		if tries == mostTries {
			remove()
			t.Fatalf("start %s: %v", program, err)
		}
		t.Logf("start %s, try %d: %v", program, tries, err)
	}
}

// mostTries is how often a browser that does not start is started.
const mostTries = 3

func find(t testing.TB) string {
	t.Helper()
	candidates := names[:]
	if name := os.Getenv("STAY_CHROMIUM"); name != "" {
		candidates = []string{name}
	}
	for _, name := range candidates {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	need.Missing(t, fmt.Sprintf("no browser found (%q): install Debian's package chromium, or name one in STAY_CHROMIUM", candidates))
	return ""
}

// NewPage opens a page in a profile of its own, as another visitor has it. It
// is closed at the end of t, which may be a subtest.
func (b *Browser) NewPage(t testing.TB) *Page {
	t.Helper()
	return newPage(t, b.ctx, chromedp.WithNewBrowserContext())
}

// NewTab opens another page of the same visitor. It is closed at the end of the
// test of the first one, and before that.
func (p *Page) NewTab() *Page {
	p.t.Helper()
	return newPage(p.t, p.ctx)
}

func newPage(t testing.TB, parent context.Context, options ...chromedp.ContextOption) *Page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, options...)
	t.Cleanup(cancel)
	// The page lives as long as the context of its first call: no timeout.
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1200, 800)); err != nil {
		t.Fatalf("open a page: %v", err)
	}
	return &Page{t: t, ctx: ctx}
}
