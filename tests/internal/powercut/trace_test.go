package powercut

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// hex writes a text as strace does.
func hex(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, `\x%02x`, s[i])
	}
	return b.String()
}

// pwrite is the beginning of a line about a write.
func pwrite(path, data string, offset int) string {
	return fmt.Sprintf(`pwrite64(7<%s>, "%s", %d, %d`, hex(path), hex(data), len(data), offset)
}

func parse(t *testing.T, lines ...string) []Call {
	t.Helper()
	calls, err := Parse(strings.NewReader(strings.Join(lines, "\n") + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return calls
}

// A trace is read as strace writes it: calls of several threads that are
// printed in two parts, calls that never return, results of all kinds.
func TestParse(t *testing.T) {
	calls, err := Parse(strings.NewReader(strings.Join([]string{
		`10 openat(AT_FDCWD<` + hex("/") + `>, "` + hex("/d/a(b)") + `", O_RDWR|O_CREAT, 0600) = 7<` + hex("/d/a(b)") + `>`,
		`10 ` + pwrite("/d/a", "one", 0) + ` <unfinished ...>`,
		`11 fsync(7<` + hex("/d/a") + `> <unfinished ...>`,
		`10 <... pwrite64 resumed>)            = 3`,
		`11 <... fsync resumed>) = -1 EIO (Input/output error)`,
		`11 mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f83dca0e000`,
		`12 +++ exited with 0 +++`,
		`11 futex(0xc000, {tv_sec=1, tv_nsec=2}) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)`,
		`13 write(1<` + hex("socket:[12]") + `>, "` + hex("x") + `", 1) = -1 (errno 18446744073709551615)`,
		`10 sync( <unfinished ...>`,
		`11 ` + pwrite("/d/a", "two", 3) + ` <detached ...>`,
		`12 half a li`,
	}, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		name       string
		args       int
		result     int64
		start, end int
	}{
		{"openat", 4, 7, 1, 1},
		{"pwrite64", 4, 3, 2, 4},
		{"fsync", 1, -1, 3, 5},
		{"mmap", 6, 0x7f83dca0e000, 6, 6},
		{"futex", 2, 0, 8, 0},
		{"write", 3, 0, 9, 0},
		{"sync", 0, 0, 10, 0},
		{"pwrite64", 4, 0, 11, 0},
	}
	if len(calls) != len(want) {
		t.Fatalf("%d calls, want %d: %+v", len(calls), len(want), calls)
	}
	for i, w := range want {
		c := calls[i]
		if c.Name != w.name || len(c.Args) != w.args || c.Result != w.result || c.Start != w.start || c.End != w.end {
			t.Errorf("call %d is %+v, want %+v", i, c, w)
		}
	}
	if !calls[2].Failed() || calls[5].Failed() || calls[7].Failed() || calls[1].Failed() {
		t.Error("which calls failed is wrong")
	}
	if path := calls[1].path(0); path != "/d/a" {
		t.Errorf("the path is %q", path)
	}
	if data, err := calls[7].text(1); err != nil || string(data) != "two" {
		t.Errorf("the data are %q, %v", data, err)
	}
}

// What is sent is told from what is written to files.
func TestSent(t *testing.T) {
	calls := parse(t,
		`1 write(9<`+hex("socket:[12]")+`>, "`+hex("HTTP/1.1 200 OK")+`", 15) = 15`,
		`1 write(9<`+hex("/d/a")+`>, "`+hex("HTTP/1.1 200 OK")+`", 15) = 15`,
		`1 write(9<`+hex("socket:[12]")+`>, "`+hex("HTTP/1.1 200 OK")+`", 15) = -1 EPIPE (Broken pipe)`,
	)
	for i, want := range []string{"HTTP/1.1 200 OK", "", ""} {
		if got := calls[i].Sent(); string(got) != want {
			t.Errorf("call %d sends %q, want %q", i, got, want)
		}
	}
}

// A trace that cannot be trusted is refused.
func TestParseRefuses(t *testing.T) {
	for what, lines := range map[string]string{
		"no thread":             `write(1, "", 0) = 0`,
		"no call":               `1 something`,
		"no result":             `1 sync()`,
		"a result of words":     `1 sync() = fine`,
		"data that are cut off": `1 write(1<` + hex("/d/a") + `>, "\x61"..., 4) = 4`,
		"no end of a text":      `1 write(1<` + hex("/d/a") + `>, "\x61`,
		"two calls at once":     "1 sync( <unfinished ...>\n1 sync() = 0",
		"the end of nothing":    `1 <... sync resumed>) = 0`,
		"the end of another":    "1 sync( <unfinished ...>\n1 <... fsync resumed>) = 0",
	} {
		if calls, err := Parse(strings.NewReader(lines + "\n")); err == nil {
			t.Errorf("%s: %+v", what, calls)
		}
	}
}

// No trace, however broken, does more than be refused, and what is written as
// a write is read as that write.
func FuzzParse(f *testing.F) {
	f.Add("/d/a", "one", 0, `1 sync( <unfinished ...>`)
	f.Add("/d/b)\"", "\"\\x", 9, `1 <... sync resumed>) = 0`)
	f.Add("/d", "", 1<<20, `2 openat(AT_FDCWD, "\x2f\x64\x2f\x61", O_RDWR|O_CREAT, 0600) = 7`)
	f.Add("", ">", 1, `3 mmap(NULL, 1, PROT_WRITE, MAP_SHARED, 3<\x2f\x64\x2f\x61>, 0) = 0x1`)
	f.Fuzz(func(t *testing.T, path, data string, offset int, line string) {
		if calls, err := Parse(strings.NewReader(line + "\n")); err == nil {
			disk := NewDisk("/d")
			if r, err := Record(disk, calls); err == nil {
				if err := r.Play(1 << 30); err != nil {
					t.Error(err)
				}
				disk.Cut(Survival{Writes: 0.5, Names: true}, newRandom())
			}
		}
		calls := parse(t, "1 "+pwrite(path, data, offset)+") = "+fmt.Sprint(len(data)))
		got, err := calls[0].text(1)
		if err != nil || !bytes.Equal(got, []byte(data)) || calls[0].path(0) != path {
			t.Errorf("%q at %q is read as %q at %q, %v", data, path, got, calls[0].path(0), err)
		}
		if n, err := calls[0].number(3); err != nil || n != int64(offset) {
			t.Errorf("offset %d is read as %d, %v", offset, n, err)
		}
	})
}
