package powercut

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func newRandom() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func creat(path string) string {
	return `open("` + hex(path) + `", O_RDWR|O_CREAT, 0600) = 7<` + hex(path) + `>`
}

func fsync(path string) string  { return `fsync(7<` + hex(path) + `>) = 0` }
func unlink(path string) string { return `unlink("` + hex(path) + `") = 0` }

func play(t *testing.T, lines ...string) *Disk {
	t.Helper()
	var threaded []string
	for _, line := range lines {
		if !strings.Contains("0123456789", line[:1]) {
			line = "1 " + line
		}
		threaded = append(threaded, line)
	}
	disk := NewDisk("/d")
	r, err := Record(disk, parse(t, threaded...))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Play(len(lines) + 1); err != nil {
		t.Fatal(err)
	}
	return disk
}

func wrote(path, data string, offset int) string {
	return pwrite(path, data, offset) + fmt.Sprintf(") = %d", len(data))
}

// What is left where nothing survives that was not synced.
func TestCutKeepsWhatWasSynced(t *testing.T) {
	for what, c := range map[string]struct {
		lines []string
		want  string // "" = no file
	}{
		"nothing synced":              {[]string{creat("/d/a"), wrote("/d/a", "one", 0)}, ""},
		"the file but not its name":   {[]string{creat("/d/a"), wrote("/d/a", "one", 0), fsync("/d/a")}, ""},
		"the name but not the file":   {[]string{creat("/d/a"), wrote("/d/a", "one", 0), fsync("/d")}, "empty"},
		"both":                        {[]string{creat("/d/a"), wrote("/d/a", "one", 0), fsync("/d/a"), fsync("/d")}, "one"},
		"a write after the sync":      {[]string{creat("/d/a"), fsync("/d"), wrote("/d/a", "one", 0), fsync("/d/a"), wrote("/d/a", "two", 0)}, "one"},
		"a write during the sync":     {[]string{creat("/d/a"), fsync("/d"), wrote("/d/a", "one", 0), "2 fsync(7<" + hex("/d/a") + "> <unfinished ...>", wrote("/d/a", "two", 0), "2 <... fsync resumed>) = 0"}, "one"},
		"a write that was under way":  {[]string{creat("/d/a"), fsync("/d"), "2 " + pwrite("/d/a", "one", 0) + " <unfinished ...>", fsync("/d/a"), "2 <... pwrite64 resumed>) = 3"}, "empty"},
		"a sync that did not return":  {[]string{creat("/d/a"), fsync("/d"), wrote("/d/a", "one", 0), "2 fsync(7<" + hex("/d/a") + "> <unfinished ...>"}, "empty"},
		"a sync that failed":          {[]string{creat("/d/a"), fsync("/d"), wrote("/d/a", "one", 0), `fsync(7<` + hex("/d/a") + `>) = -1 EIO (Input/output error)`}, "empty"},
		"a write that failed":         {[]string{creat("/d/a"), fsync("/d"), pwrite("/d/a", "one", 0) + `) = -1 ENOSPC (No space left on device)`, fsync("/d/a")}, "empty"},
		"a write that was cut short":  {[]string{creat("/d/a"), fsync("/d"), pwrite("/d/a", "one", 0) + `) = 2`, fsync("/d/a")}, "on"},
		"a truncation":                {[]string{creat("/d/a"), fsync("/d"), wrote("/d/a", "one", 0), `ftruncate(7<` + hex("/d/a") + `>, 1) = 0`, fsync("/d/a")}, "o"},
		"a truncation, not synced":    {[]string{creat("/d/a"), fsync("/d"), wrote("/d/a", "one", 0), fsync("/d/a"), `ftruncate(7<` + hex("/d/a") + `>, 1) = 0`}, "one"},
		"a deletion, not synced":      {[]string{creat("/d/a"), wrote("/d/a", "one", 0), fsync("/d/a"), fsync("/d"), unlink("/d/a")}, "one"},
		"a deletion":                  {[]string{creat("/d/a"), wrote("/d/a", "one", 0), fsync("/d/a"), fsync("/d"), unlink("/d/a"), fsync("/d")}, ""},
		"a new file under the name":   {[]string{creat("/d/a"), wrote("/d/a", "one", 0), fsync("/d/a"), fsync("/d"), unlink("/d/a"), creat("/d/a"), wrote("/d/a", "two", 0), fsync("/d/a")}, "one"},
		"the same, the folder synced": {[]string{creat("/d/a"), wrote("/d/a", "one", 0), fsync("/d/a"), fsync("/d"), unlink("/d/a"), creat("/d/a"), wrote("/d/a", "two", 0), fsync("/d/a"), fsync("/d")}, "two"},
	} {
		files := play(t, c.lines...).Cut(Survival{}, newRandom())
		got, there := files["a"]
		switch {
		case there != (c.want != ""):
			t.Errorf("%s: the file is there: %t", what, there)
		case there && string(got) != strings.TrimPrefix(c.want, "empty"):
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}

// Of what was not synced any sectors survive, whole ones, each by itself.
func TestCutTearsAtSectors(t *testing.T) {
	old, fresh := strings.Repeat("o", 4*sector), strings.Repeat("f", 3*sector)
	disk := play(t, creat("/d/a"), fsync("/d"), wrote("/d/a", old, 0), fsync("/d/a"), wrote("/d/a", fresh, sector/2))
	random := newRandom()
	seen := map[string]bool{}
	for range 500 {
		got := string(disk.Cut(Survival{Writes: 0.5}, random)["a"])
		parts := ""
		for _, piece := range []string{got[:sector/2], got[sector/2 : sector], got[sector : 2*sector], got[2*sector : 3*sector], got[3*sector : 3*sector+sector/2], got[3*sector+sector/2:]} {
			if strings.Trim(piece, piece[:1]) != "" {
				t.Fatalf("a sector is torn: %q", piece)
			}
			parts += piece[:1]
		}
		seen[parts] = true
	}
	if len(seen) != 16 {
		t.Errorf("%d ways to tear four sectors: %v", len(seen), seen)
	}
}

// Where a file grew, what did not arrive is zeros, or anything.
func TestCutFillsHoles(t *testing.T) {
	disk := play(t, creat("/d/a"), fsync("/d"), wrote("/d/a", strings.Repeat("x", 2*sector), 0))
	for _, garbage := range []bool{false, true} {
		hole := ""
		for random := newRandom(); hole == ""; {
			got := string(disk.Cut(Survival{Writes: 0.5, Garbage: garbage}, random)["a"])
			if len(got) == 2*sector && got[0] != 'x' {
				hole = got[:sector]
			}
		}
		if zeros := strings.Trim(hole, "\x00") == ""; zeros == garbage {
			t.Errorf("garbage %t: %q", garbage, hole)
		}
	}
}

// A name leads to anything that it led to since the folder was synced.
func TestCutNames(t *testing.T) {
	disk := play(t, creat("/d/a"), wrote("/d/a", "one", 0), fsync("/d/a"), fsync("/d"), unlink("/d/a"), creat("/d/a"), wrote("/d/a", "two", 0), fsync("/d/a"))
	seen := map[string]bool{}
	random := newRandom()
	for range 100 {
		content, there := disk.Cut(Survival{Names: true}, random)["a"]
		seen[fmt.Sprint(there, string(content))] = true
	}
	if len(seen) != 3 || !seen["trueone"] || !seen["false"] || !seen["truetwo"] {
		t.Errorf("%v", seen)
	}
}

// What became of calls that never returned is known when the program has
// ended, and from then on a sync covers it.
func TestEnded(t *testing.T) {
	begin := []string{"1 " + creat("/d/a"), "1 " + fsync("/d"), "1 " + wrote("/d/a", "one", 0), "1 " + pwrite("/d/a", "two", 3) + " <unfinished ...>"}
	for left, wrong := range map[string]bool{"one": false, "onetwo": false, "onet": false, "oneTWO": false, "two": true, "on": true, "onetwo!": true} {
		disk := NewDisk("/d")
		lines := append(begin[:len(begin):len(begin)], "2 +++ killed by SIGKILL +++", "2 "+fsync("/d/a"))
		r, err := Record(disk, parse(t, lines...))
		if err != nil {
			t.Fatal(err)
		}
		r.Ended(5, map[string][]byte{"a": []byte(left)})
		if err := r.Play(7); (err != nil) != wrong {
			t.Errorf("%q was left: %v", left, err)
		} else if got := disk.Cut(Survival{}, newRandom())["a"]; err == nil && string(got) != left {
			t.Errorf("%q was left and %q is synced", left, got)
		}
	}
	for what, found := range map[string]map[string][]byte{"a file more": {"a": []byte("one"), "b": nil}, "a file less": {}} {
		r, err := Record(NewDisk("/d"), parse(t, begin...))
		if err != nil {
			t.Fatal(err)
		}
		r.Ended(5, found)
		if err := r.Play(7); (err == nil) != (what == "a file more") {
			t.Errorf("%s: %v", what, err) // it may be of a call that did not return
		}
	}
}

// Calls that change the folder unseen, or in a way that is not known, are
// refused; those about other folders are not.
func TestRecordRefuses(t *testing.T) {
	for line, refused := range map[string]bool{
		`rename("` + hex("/d/a") + `", "` + hex("/d/b") + `") = 0`:                                   true,
		`rename("` + hex("/e/a") + `", "` + hex("/e/b") + `") = 0`:                                   false,
		`rename("` + hex("/d/a") + `", "` + hex("/d/b") + `") = -1 ENOENT (No such file)`:            false,
		`fallocate(7<` + hex("/d/a") + `>, 0, 0, 4096) = 0`:                                          true,
		`write(7<` + hex("/d/a") + `>, "` + hex("x") + `", 1) = 1`:                                   true,
		`write(7<` + hex("/dd/a") + `>, "` + hex("x") + `", 1) = 1`:                                  false,
		`mmap(NULL, 1, PROT_READ|PROT_WRITE, MAP_SHARED, 7<` + hex("/d/a") + `>, 0) = 0x7f00`:        true,
		`mmap(NULL, 1, PROT_READ, MAP_SHARED, 7<` + hex("/d/a") + `>, 0) = 0x7f00`:                   false,
		`mmap(NULL, 1, PROT_READ|PROT_WRITE, MAP_SHARED, 7<` + hex("/d/a.db-shm") + `>, 0) = 0x7f00`: false,
	} {
		if _, err := Record(NewDisk("/d"), parse(t, "1 "+line)); (err != nil) != refused {
			t.Errorf("%s: %v", line, err)
		}
	}
}
