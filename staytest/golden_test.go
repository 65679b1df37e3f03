package staytest_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/staytest"
)

type base struct {
	ID int64 `json:"id"`
}

// Level marshals itself, and refuses what it does not know.
type Level int

func (l Level) MarshalText() ([]byte, error) { return []byte([]string{"low", "high"}[l]), nil }

func (l *Level) UnmarshalText(text []byte) error {
	i := slices.Index([]string{"low", "high"}, string(text))
	if i < 0 {
		return errors.New("no such level")
	}
	*l = Level(i)
	return nil
}

type tree struct {
	Name     string `json:"name"`
	Children []tree `json:"children"`
}

type profile struct {
	base
	Name  string            `json:"name"`
	Note  string            `json:"note,omitempty"`
	Since time.Time         `json:"since"`
	Tree  tree              `json:"tree"`
	Tags  map[string]string `json:"tags"`
	Trees map[string]tree   `json:"trees"`
	Best  *tree             `json:"best"`
	Pair  [2]int            `json:"pair"`
	Bytes []byte            `json:"bytes"`
	Level Level             `json:"level"`
	On    bool              `json:"on"`
	Unit  uint8             `json:"unit,string"`
	Ratio float32           `json:"ratio"`
	Any   any               `json:"any"`
	Size  int               `json:"size"`
}

// profiles has two versions: the first had a "nick" that the second dropped,
// and "size" as text.
var profiles = stay.Module[profile]{
	Name: "profile", Persist: stay.Global, Initial: profile{Size: 7}, Version: 2,
	Migrate: map[int]func(json.RawMessage) (json.RawMessage, error){1: func(old json.RawMessage) (json.RawMessage, error) {
		return edit(old, func(m map[string]any) {
			delete(m, "nick")
			if size, ok := m["size"].(string); ok {
				m["size"] = json.Number(size)
			}
		})
	}},
}

// golden runs Golden on the files and a state of the present version.
func golden(files map[string]string) string {
	fsys := fstest.MapFS{"v2/present.json": {Data: []byte(`{}`)}}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return failure(func(t testing.TB) {
		staytest.Golden(t, stay.Register(staytest.App(t, nil), profiles), fsys)
	})
}

// What a stored state had is found again in the present one, or its loss is
// named.
//
// Proves M1, M2, M4.
func TestGoldenFindsLoss(t *testing.T) {
	for name, c := range map[string]struct {
		file, text string
		lines      []string // nil = nothing is lost
	}{
		"all of it":          {"v2/a.json", `{"id":9007199254740993,"name":"x","since":"2026-01-01T00:00:00Z","tree":{"name":"a","children":[{"name":"b","children":[]}]},"size":1}`, nil},
		"initial values":     {"v2/a.json", `{}`, nil},
		"left out when zero": {"v2/a.json", `{"note":""}`, nil},
		"null":               {"v2/a.json", `{"name":null,"tree":null,"since":null,"tags":null,"pair":null,"best":null,"size":null,"unit":null}`, nil},
		"another zone":       {"v2/a.json", `{"since":"2026-01-01T01:00:00+01:00"}`, nil},
		"another spelling":   {"v2/a.json", "{\n\"n\\u0061me\" : \"\\u0078\", \"ratio\":1.50, \"size\":2 }", nil},
		"a field given up":   {"v2/a.json", `{"gone":"x"}`, []string{`v2/a.json: some of its values are lost`, `gone: got nothing, want "x"`, "v2/a.want.json"}},
		"and of no value":    {"v2/a.json", `{"gone":""}`, []string{`gone: got nothing, want ""`}},
		"deep":               {"v2/a.json", `{"tree":{"children":[{"name":"b","old":1}]}}`, []string{"tree.children[0].old: got nothing, want 1"}},
		"in a map":           {"v2/a.json", `{"trees":{"k":{"label":"x"}}}`, []string{`trees.k.label: got nothing, want "x"`}},
		"a short array":      {"v2/a.json", `{"pair":[1]}`, []string{"pair[1]: got 0, want nothing"}},
		"another type":       {"v2/a.json", `{"size":"1"}`, []string{"v2/a.json cannot be read", "size"}},
		"a value refused":    {"v2/a.json", `{"level":"top"}`, []string{"cannot be read", "no such level"}},
		"no JSON":            {"v2/a.json", `{`, []string{"v2/a.json cannot be read"}},
		"a step":             {"v1/a.json", `{"name":"x","size":"12"}`, []string{`size: got 12, want "12"`, "v1/a.want.json", `"size": 12`}},
		"a step fails":       {"v1/a.json", `[]`, []string{"v1/a.json cannot be read", "schema version 1"}},
		"a later version":    {"v3/a.json", `{}`, []string{"v3/a.json cannot be read", "reads versions up to 2"}},
		"misplaced":          {"a.json", `{}`, []string{"a.json: not the name"}},
		"in no version":      {"testdata/v1/a.json", `{}`, []string{"testdata/v1/a.json: not the name"}},
		"version 0":          {"v0/a.json", `{}`, []string{"v0/a.json: not the name"}},
		"a stranger":         {"v1/README", `{}`, []string{"v1/README: not the name"}},
		"about nothing":      {"v1/a.want.json", `{}`, []string{"v1/a.want.json: there is no v1/a.json"}},
	} {
		t.Run(name, func(t *testing.T) { wantLines(t, golden(map[string]string{c.file: c.text}), c.lines) })
	}
}

func wantLines(t *testing.T, text string, lines []string) {
	t.Helper()
	if len(lines) == 0 && text != "" {
		t.Errorf("it said %q", text)
	}
	for _, line := range lines {
		if !strings.Contains(text, line) {
			t.Errorf("it said %q, want %q", text, line)
		}
	}
}

// A file with what is wanted replaces what was stored, and is held to the same
// rule.
//
// Proves M4.
func TestGoldenWantReplacesWhatWasStored(t *testing.T) {
	const stored = `{"nick":"n","name":"x","size":"12","tags":{"a":"1","b":"2"},"any":{"a":1}}`
	for name, c := range map[string]struct {
		want  string
		lines []string
	}{
		"as meant":  {`{"name":"x","size":12}`, nil},
		"no more":   {`{"name":"x","size":12,"nick":"n"}`, []string{`v1/a.json: it does not decode to v1/a.want.json`, `nick: got nothing, want "n"`}},
		"otherwise": {`{"name":"y"}`, []string{`name: got "x", want "y"`}},
		"too many":  {`{"tags":{"a":"1"},"any":{}}`, []string{`tags.b: got "2", want nothing`, `any.a: got 1, want nothing`}},
		"no JSON":   {`{`, []string{"v1/a.want.json: "}},
	} {
		t.Run(name, func(t *testing.T) {
			wantLines(t, golden(map[string]string{"v1/a.json": stored, "v1/a.want.json": c.want}), c.lines)
		})
	}
}

// Without a state of the present version the test fails, also when there is
// none at all, and prints one that holds something in every field; stored, it
// passes, and each field of it that goes is noticed.
func TestGoldenPrintsTheFirst(t *testing.T) {
	run := func(fsys fs.FS) string {
		return failure(func(t testing.TB) {
			staytest.Golden(t, stay.Register(staytest.App(t, nil), profiles), fsys)
		})
	}
	text := run(fstest.MapFS{})
	if other := run(fstest.MapFS{"v1/a.json": {Data: []byte(`{}`)}}); other != text || !strings.Contains(text, "v2/full.json") {
		t.Errorf("with nothing it says %q, with an old one %q", text, other)
	}
	_, sample, _ := strings.Cut(text, ":\n")
	var members map[string]any
	if err := json.Unmarshal([]byte(sample), &members); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		v := members[name]
		if empty := v == nil || v == "" || v == false || v == 0.0; empty {
			t.Errorf("%s is %v in the sample", name, v)
		}
	}
	if len(members) != 16 || members["size"] != 7.0 {
		t.Errorf("%d members: %s", len(members), sample)
	}
	if text := run(fstest.MapFS{"v2/full.json": {Data: []byte(sample)}}); text != "" {
		t.Errorf("its own sample fails: %s", text)
	}
}

// A place that cannot be read is a failure.
func TestGoldenUnreadable(t *testing.T) {
	for name, fsys := range map[string]fs.FS{
		"folder": failing{},
		"file":   fstest.MapFS{"v2/a.json": {Mode: fs.ModeSymlink, Data: []byte("nowhere")}},
	} {
		text := failure(func(t testing.TB) { staytest.Golden(t, stay.Register(staytest.App(t, nil), profiles), fsys) })
		if text == "" {
			t.Errorf("%s: it passed", name)
		}
	}
}

type failing struct{}

func (failing) Open(string) (fs.File, error) { return nil, errors.New("unreadable") }

// What Decode of the door returns is what loading gives: the value that is handed over
// stays as it is.
func TestGoldenLeavesTheFilesAlone(t *testing.T) {
	text := []byte(`{"name":"x","size":"12"}`)
	s := access.StateOf(stay.Register(staytest.App(t, nil), profiles))
	if v, err := s.Decode(1, text); err != nil || v.(*profile).Size != 12 || string(text) != `{"name":"x","size":"12"}` {
		t.Errorf("%+v, %v, %s", v, err, text)
	}
}
