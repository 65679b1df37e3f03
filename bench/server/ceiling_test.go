package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stay-go/stay/bench/internal/counter"
)

// onLog returns the ceiling on a log in dir; it is closed when the test ends.
func onLog(t *testing.T, dir string) counter.App {
	t.Helper()
	app, err := ceiling("log:"+dir, counter.NewFlags(flag.NewFlagSet("", flag.PanicOnError)))
	if err != nil {
		t.Fatal(err)
	}
	return app
}

// read returns the last number of each counter that the batches of a log have.
func read(t *testing.T, dir string) map[string]int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for {
		n := binary.LittleEndian.Uint32(data)
		if n == 0 {
			return counts
		}
		records := data[headSize : headSize+n]
		if crc32.ChecksumIEEE(records) != binary.LittleEndian.Uint32(data[4:]) {
			t.Fatal("a batch with a wrong checksum")
		}
		for ; len(records) > 0; records = records[recordSize:] {
			id, _, _ := strings.Cut(string(records[8:recordSize]), "\x00")
			counts[id] = int(binary.LittleEndian.Uint64(records))
		}
		data = data[headSize+n:]
	}
}

// click makes one increment and returns the page.
func click(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	resp, err := c.Post(url+"/increment", "", http.NoBody)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	page, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("status %d, %v: %s", resp.StatusCode, err, page)
	}
	return string(page)
}

// When an answer is there, the log has what it says, whoever else waits, and no
// increment is lost.
func TestCeilingKeepsWhatItAnswers(t *testing.T) {
	dir := t.TempDir()
	app := onLog(t, dir)
	server := httptest.NewServer(app.Handler)
	defer server.Close()

	const browsers, each, tabs = 8, 25, 2
	var wg sync.WaitGroup
	for range browsers {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		c := &http.Client{Jar: jar}
		click(t, c, server.URL) // gets the cookie
		for range tabs {
			wg.Go(func() {
				for range each {
					click(t, c, server.URL)
				}
			})
		}
	}
	wg.Wait()
	counts := read(t, dir) // before the log is closed
	if len(counts) != browsers {
		t.Errorf("the log has %d counters, want %d", len(counts), browsers)
	}
	for id, n := range counts {
		if n != 1+tabs*each {
			t.Errorf("counter %s is %d in the log, want %d", id, n, 1+tabs*each)
		}
	}
	if err := app.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// What the disk does not take is not acknowledged, nor is anything after it.
func TestCeilingRefusesWhatIsNotStored(t *testing.T) {
	l, err := openLog(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.file.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := l.add("one", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.wait(t.Context()); err == nil {
		t.Error("a change was stored in a file that is closed")
	}
	if _, err := l.add("one", 2); err == nil {
		t.Error("a change was taken after the log had failed")
	}
	if err := l.close(t.Context()); err == nil {
		t.Error("the file was closed twice")
	}
}

// A log that is full starts over, and one that is closed takes nothing.
func TestCeilingStartsOver(t *testing.T) {
	dir := t.TempDir()
	l, err := openLog(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	var last *batch
	for n := 0; n < logSize/recordSize+1; {
		b, err := l.add("one", n)
		if err == nil {
			last = b
			n++
			continue
		}
		if !errors.Is(err, errFull) { // the queue is bounded
			t.Fatal(err)
		}
		if err := last.wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := last.wait(t.Context()); err != nil {
		t.Errorf("what waited when the log was closed: %v", err)
	}
	if info, err := os.Stat(filepath.Join(dir, "log")); err != nil || info.Size() != logSize {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
	if _, err := l.add("one", 1); !errors.Is(err, errClosed) {
		t.Errorf("a change of a closed log: %v", err)
	}
}

// Each kind of counter counts for its browser, and ends with it; those without a
// server of a database.
func TestKinds(t *testing.T) {
	for _, at := range []struct{ kind, where, first, second, end string }{
		{"bare", "mem", "1", "1", "1"},
		{"mapmutex", "mem", "1", "2", "0"},
		{"ceiling", "log:{dir}", "1", "2", "0"},
		{"scs", "mem", "1", "2", "0"},
		{"scs", "sqlite:{dir}", "1", "2", "0"},
		{"stay", "mem", "1", "2", "0"},
		{"stay", "sqlite:{dir}", "1", "2", "0"},
	} {
		t.Run(at.kind+" "+at.where, func(t *testing.T) {
			where := strings.ReplaceAll(at.where, "{dir}", filepath.Join(t.TempDir(), "new"))
			app, err := kinds[at.kind](where, counter.NewFlags(flag.NewFlagSet("", flag.PanicOnError)))
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(app.Handler)
			defer server.Close()
			jar, err := cookiejar.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			c := &http.Client{Jar: jar}
			for _, want := range []string{at.first, at.second} {
				if got := click(t, c, server.URL); got != "<span id=count>"+want+"</span>" {
					t.Errorf("an increment shows %q, want %s", got, want)
				}
			}
			resp, err := c.Post(server.URL+"/logout", "", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("logout: status %d", resp.StatusCode)
			}
			resp, err = c.Get(server.URL + "/count")
			if err != nil {
				t.Fatal(err)
			}
			page, err := io.ReadAll(resp.Body)
			if err != nil || string(page) != "<span id=count>"+at.end+"</span>" {
				t.Errorf("after the logout the page is %q, %v", page, err)
			}
			_ = resp.Body.Close()
			server.Close()
			if app.Close != nil {
				if err := app.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for kind, where := range map[string]string{"stay": "sqlite:", "scs": "paper", "ceiling": "mem", "nobody": "mem"} {
		if err := run(kind, where, nil); err == nil || !strings.Contains(err.Error(), "want") {
			t.Errorf("-kind %s -store %s: %v", kind, where, err)
		}
	}
}
