package golden

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
)

var inMemory = Harness{Open: func(testing.TB) store.Store { return memstore.New() }}

// A change makes a case that holds into one that does not, or makes no sense.
type change struct{ from, to, says string }

// goodModules uses every step, operation and kind of expectation that the
// format has, but for keys computed from the state.
const goodModules = `{
 "id": "good", "title": "t", "source": "s", "rules": ["A1"], "original": "o",
 "modules": [
  {
   "name": "C", "type": "struct",
   "schema": {"n": "int", "s": "string", "b": "bool", "list": "[]string", "m": "map", "in": {"x": "int"}, "ptr": {"y": "string"}},
   "initial": {"n": 0, "s": "", "b": false, "list": ["a"], "m": {"k": "v"}, "in": {"x": 1}, "ptr": null},
   "persist": {"strategy": "perSession"},
   "actions": {
    "slow": [{"op": "rmw", "path": "n", "ms": 20}],
    "late": [{"op": "await", "ms": 1}, {"op": "throw"}],
    "take": [{"op": "bind"}]
   },
   "onCreated": [{"op": "copy", "path": "s", "to": "m.copied"}]
  },
  {"name": "G", "type": "struct", "schema": {"n": "int"}, "initial": {"n": 0}, "persist": {"strategy": "global"}},
  {"name": "E", "type": "struct", "schema": {"n": "int"}, "initial": {"n": 0}, "persist": {"strategy": "none"}}
 ],
 "refused": [[
  {"name": "X", "type": "struct", "schema": {"n": "int"}, "initial": {"n": 0}, "persist": {"strategy": "none"}},
  {"name": "X", "type": "struct", "schema": {"n": "int"}, "initial": {"n": 0}, "persist": {"strategy": "none"}}
 ]],
 "records": [{"module": "C", "key": "s1", "value": {"s": "stored"}}],
 "store": {"loadDelayMs": {"s1": 5}, "saveDelayMs": [1, 2], "failLoad": 1, "failSave": 1},
 "steps": [
  {"op": "get", "session": "s1", "module": "C", "wantError": true, "hook": true},
  {"op": "get", "session": "s1", "module": "C", "scribble": [{"op": "set", "path": "m.k", "value": "scribbled"}, {"op": "set", "path": "list.0", "value": "scribbled"}]},
  {"op": "get", "session": "s1", "module": "C", "want": {"n": 0, "s": "stored", "b": false, "list": ["a"], "m": {"copied": "stored", "k": "v"}, "in": {"x": 1}, "ptr": null}},
  {"op": "update", "session": "s1", "module": "C", "ops": [{"op": "inc", "path": "n"}], "wantError": true, "hook": true},
  {"op": "update", "session": "s1", "module": "C", "ops": [
    {"op": "repeat", "n": 2, "ops": [{"op": "inc", "path": "n", "by": 2}]},
    {"op": "set", "path": "ptr", "value": {"y": "z"}}, {"op": "copy", "path": "ptr.y", "to": "s"},
    {"op": "push", "path": "list", "value": "b"}, {"op": "set", "path": "list.0", "value": "A"}, {"op": "set", "path": "m.new", "value": "1"},
    {"op": "delete", "path": "m.k"}, {"op": "delete", "path": "in.x"}, {"op": "set", "path": "b", "value": true}
   ], "want": {"n": 4, "s": "z", "b": true, "list": ["A", "b"], "m": {"copied": "stored", "new": "1"}, "in": {"x": 0}, "ptr": {"y": "z"}}},
  {"op": "update", "session": "s1", "module": "C", "ops": [{"op": "set", "path": "ptr", "value": null}]},
  {"op": "update", "session": "s1", "module": "C", "ops": [{"op": "set", "path": "ptr.y", "value": "lost"}], "wantError": true},
  {"op": "action", "session": "s1", "module": "C", "action": "late", "wantError": true},
  {"op": "action", "session": "s1", "module": "C", "action": "take", "payload": {"in": {"x": 7}}},
  {"op": "restart"},
  {"op": "parallel", "staggerMs": 5, "steps": [
    {"op": "action", "session": "s1", "module": "C", "action": "slow", "wantError": "any"},
    {"op": "restart", "kill": true}
  ]},
  {"op": "evict"},
  {"op": "update", "session": "s1", "module": "G", "ops": [{"op": "inc", "path": "n"}], "times": 5, "concurrent": true},
  {"op": "update", "session": "s2", "module": "E", "ops": [{"op": "inc", "path": "n"}], "times": 3},
  {"op": "get", "session": "s2", "module": "E", "oneOf": [{"n": 2}, {"n": 3}]}
 ],
 "expect": {"anyOf": [
  {"states": [], "records": [], "writes": 0},
  {
   "states": [
    {"session": "s1", "module": "C", "value": {"n": 4, "s": "z", "b": true, "list": ["A", "b"], "m": {"copied": "z", "new": "1"}, "in": {"x": 7}, "ptr": null}},
    {"session": "s2", "module": "E", "value": {"n": 3}}
   ],
   "records": [
    {"module": "C", "key": "s1", "value": {"n": 4, "s": "z", "b": true, "list": ["A", "b"], "m": {"copied": "stored", "new": "1"}, "in": {"x": 7}, "ptr": null}},
    {"module": "G", "key": "", "value": {"n": 5}}
   ],
   "writes": {"max": 8}
  }
 ]}
}`

var badModules = []change{
	// What is not part of the format.
	{`"title": "t"`, `"title": "t", "skip": true`, "unknown field"},
	{`"op": "evict"`, `"op": "evict", "all": true`, "unknown field"},
	{`"op": "evict"`, `"op": "flush"`, `step "flush" is not known`},
	{`{"op": "evict"}`, `{}`, "no op"},
	{`"op": "throw"`, `"op": "panic"`, `operation "panic" is not known`},
	{`"op": "throw"`, `"op": "throw", "path": "n"`, "unknown field"},
	{`"op": "inc", "path": "n", "by": 2`, `"op": "inc", "path": "n", "value": 2`, "unknown field"},
	{`"strategy": "global"`, `"strategy": "perTenant"`, `strategy "perTenant" is not known`},
	{`"strategy": "global"`, `"strategy": "global", "keyFields": ["n"]`, "no key fields"},
	{`"strategy": "global"`, `"strategy": "withKey", "keyFields": ["n"]`, "without a keyPath"},
	{`"strategy": "global"`, `"strategy": "withKey", "keyPath": "n", "keyFields": ["id"]`, `no field "id"`},
	{`{"strategy": "none"}`, `{"strategy": "none"}, "adopt": "merge"`, `adoption "merge" is not known`},
	{`"type": "struct"`, `"type": "class"`, `type "class" is not known`},
	{`"b": "bool"`, `"b": "float"`, `type "float" is not known`},
	{`"failLoad": 1`, `"failLoads": 1`, "unknown field"},
	{`"writes": {"max": 8}`, `"writes": {"min": 8}`, "want a number or a max"},
	{`"wantError": "any"`, `"wantError": "maybe"`, "wantError is"},
	{`"wantError": "any"`, `"wantErrors": "any"`, "unknown field"},
	{`"wantError": true, "hook": true`, `"wantError": true, "want": {}`, "must fail"},
	{`"expect": {"anyOf"`, `"expect": {"records": [], "anyOf"`, "anyOf stands alone"},
	{`"kill": true`, `"kill": 9`, "cannot unmarshal"},
	// What does not fit together.
	{`"path": "ptr.y", "to"`, `"path": "ptr.z", "to"`, `no field "z"`},
	{`"path": "ptr.y", "to"`, `"path": "n", "to"`, "cannot be assigned"},
	{`"value": {"y": "z"}`, `"value": {}`, "there is no value"},
	{`"value": {"y": "z"}`, `"value": {"y": "z", "w": 1}`, "unknown field"},
	{`"in": {"x": 1}, "ptr": null`, `"ptr": null`, "there is no value"},
	{`"onCreated": [`, `"onCreated": [{"op": "bind"}, `, "no payload"},
	{`"action": "take"`, `"action": "give"`, `no action "give"`},
	{`"session": "s2", "module": "E", "oneOf"`, `"session": "s2", "module": "F", "oneOf"`, `no module "F"`},
	{`"times": 5, "concurrent": true`, `"concurrent": true`, "concurrent without times"},
	{`{"module": "G", "key": ""`, `{"module": "G", "key": "x"`, "has no key"},
	{`{"module": "G", "key": ""`, `{"module": "E", "key": "s1"`, "stores nothing"},
	// What is not true.
	{`"refused": [[`, `"refused": [[], [`, "was not refused"},
	{`"failLoad": 1`, `"failLoad": 0`, "it succeeded and must fail"},
	{`"failLoad": 1`, `"failLoad": 2`, "it failed"},
	{`"failSave": 1`, `"failSave": 2`, "it failed"},
	{`"saveDelayMs": [1, 2]`, `"saveDelayMs": 200000`, "it failed"},
	{`"oneOf": [{"n": 2}, {"n": 3}]`, `"oneOf": [{"n": 1}, {"n": 2}]`, `got {"n":3}`},
	{`"action": "late", "wantError": true`, `"action": "late", "wantError": true, "hook": true`, "OnError was not called"},
	{`{"op": "restart", "kill": true}`, `{"op": "action", "session": "s1", "module": "C", "action": "late", "wantError": "any"}`, `"n":5,"ptr":null`},
	{`"op": "parallel"`, `"op": "parallel", "steps": [{"op": "action", "session": "s1", "module": "C", "action": "late", "wantError": true}]}, {"op": "parallel"`, "none of the parallel steps succeeded"},
	{`"session": "s2", "module": "E", "value": {"n": 3}`, `"session": "s2", "module": "E", "value": {"n": 4}`, "after an eviction: E of s2"},
	{`{"module": "G", "key": "", "value": {"n": 5}}`, `{"module": "G", "key": "", "value": {"n": 6}}`, `record "" of G is`},
	{`, {"module": "G", "key": "", "value": {"n": 5}}`, ``, "is stored and not wanted"},
	{`{"module": "G", "key": "", "value": {"n": 5}}`, `{"module": "G", "key": "", "value": {"n": 5}}, {"module": "C", "key": "s2", "value": {}}`, `no record "s2" of C`},
	{`"writes": {"max": 8}`, `"writes": {"max": 1}`, "want at most 1"},
	{`"writes": {"max": 8}`, `"writes": 1`, "want 1"},
}

const goodHTTP = `{
 "id": "good", "title": "t", "source": "s", "rules": ["B1"],
 "setup": {
  "count": {"value": 0, "preserve": true}, "username": {"value": "x"}, "theme": {"value": "light", "preserve": true},
  "cart": {"value": ["c"]}, "prefs": {"value": {"n": 2}}
 },
 "steps": [
  {"user": "A", "method": "GET", "path": "/page", "want": {"status": 200, "body": "<html>page</html>", "setCookie": false, "newSession": false}},
  {"user": "A", "method": "GET", "path": "/home", "want": {"status": 200, "body": "count=0 name=x", "setCookie": true, "newSession": true,
   "cookieHas": ["HttpOnly", "SameSite=Lax", "Path=/"], "headers": {"Vary": "Cookie", "content-type": "text/html"}}},
  {"user": "A", "method": "POST", "path": "/api/increment", "times": 2, "want": {"status": 200, "setCookie": false, "newSession": false}},
  {"user": "A", "method": "POST", "path": "/api/rmw", "times": 3, "concurrent": true, "want": {"status": 200, "bodies": ["5", "3", "4"], "setCookies": 0, "newSessions": 0}},
  {"user": "A", "method": "POST", "path": "/api/decrement", "headers": {"HX-Request": "true"}, "want": {"status": 200, "body": "4"}},
  {"user": "A", "method": "POST", "path": "/api/name/ann", "want": {"status": 200, "body": "ann"}},
  {"user": "A", "method": "POST", "path": "/api/theme/dark", "want": {"status": 200, "body": "dark"}},
  {"user": "A", "method": "POST", "path": "/api/cart/d", "want": {"status": 200, "body": ["c", "d"]}},
  {"user": "A", "method": "POST", "path": "/api/prefs", "want": {"status": 200, "body": {"n": 3}}},
  {"user": "A", "method": "POST", "path": "/api/throw", "want": {"status": 500, "bodyLacks": "boom", "newSession": false}},
  {"restart": true},
  {"user": "A", "method": "GET", "path": "/api/all", "want": {"status": 200, "newSession": false,
   "body": {"count": 4, "username": "ann", "theme": "dark", "cart": ["c", "d"], "prefs": {"n": 3}}}},
  {"user": "A", "method": "POST", "path": "/api/reset", "want": {"status": 200, "body": "reset"}},
  {"user": "A", "method": "GET", "path": "/api/all", "want": {"status": 200, "body": {"count": 4, "username": "x", "theme": "dark", "cart": ["c"], "prefs": {"n": 2}}}},
  {"user": "A", "method": "POST", "path": "/api/full-reset", "want": {"status": 200, "body": "full"}},
  {"user": "A", "method": "GET", "path": "/api/all", "want": {"status": 200, "body": {"count": 0, "username": "x", "theme": "light", "cart": ["c"], "prefs": {"n": 2}}}},
  {"user": "B", "method": "POST", "path": "/api/increment", "times": 2, "concurrent": true, "want": {"status": 200, "bodies": ["1", "1"], "setCookies": 2, "newSessions": 2}},
  {"user": "B", "method": "GET", "path": "/api/count", "cookie": "{name}=forged", "want": {"status": 200, "body": "0", "setCookie": true, "newSession": true}},
  {"user": "B", "method": "GET", "path": "/api/count", "want": {"status": 200, "body": "1", "setCookie": false, "newSession": false}},
  {"user": "B", "method": "GET", "path": "/nothing", "want": {"status": 404}}
 ],
 "expect": {"storedSessions": 3}
}`

var badHTTP = []change{
	{`"title": "t"`, `"title": "t", "skip": true`, "unknown field"},
	{`{"restart": true}`, `{"restart": true, "kill": true}`, "unknown field"},
	{`{"restart": true}`, `{"restart": false}`, "restart is true"},
	{`"bodyLacks": "boom"`, `"bodyHas": "boom"`, "unknown field"},
	{`"status": 404`, `"setCookie": false`, "missing: status"},
	{`"user": "B", "method": "GET", "path": "/nothing"`, `"user": "B", "path": "/nothing"`, "missing or empty: method"},
	{`"body": "4"`, `"body": 4`, "neither text nor an object nor a list"},
	{`"body": "4"`, `"bodies": ["4"]`, "bodies does not go with"},
	{`"setCookies": 0`, `"setCookie": false`, "setCookie does not go with"},
	{`"bodies": ["5", "3", "4"]`, `"bodies": ["5", "3"]`, "2 bodies of 3 answers"},
	{`"times": 3, "concurrent": true`, `"concurrent": true`, "concurrent without times"},
	{`"theme": {"value": "light", "preserve": true}`, `"theme": {"preserve": true}`, "no value for theme"},
	{`"theme": {"value": "light"`, `"theme": {"value": 1`, "cannot unmarshal"},
	{`"setup": {`, `"setup": {"extra": {"value": 1}, `, "the fields are"},
	{`"prefs": {"value": {"n": 2}}`, `"prefs": {"value": {"m": 2}}`, "unknown field"},
	{`"expect": {"storedSessions": 3}`, `"expect": {}`, "missing or empty: expect"},

	{`"status": 404`, `"status": 200`, "want 200"},
	{`"body": "4"`, `"body": "5"`, `the body is "4"`},
	{`"body": {"n": 3}`, `"body": {"n": 4}`, `the body is`},
	{`"bodies": ["5", "3", "4"]`, `"bodies": ["5", "3", "3"]`, "is not wanted"},
	{`"setCookies": 2`, `"setCookies": 1`, "2 answers set a cookie"},
	{`"newSessions": 2`, `"newSessions": 1`, "2 answers came from new sessions"},
	{`"status": 500, "bodyLacks": "boom"`, `"status": 500, "bodyLacks": "Error"`, `has "Error"`},
	{`"HttpOnly", `, `"HttpOnly", "Secure", `, "lacks Secure"},
	{`"Vary": "Cookie"`, `"Vary": "Accept"`, `the header Vary`},
	{`"want": {"status": 200, "body": "0", "setCookie": true, "newSession": true}`, `"want": {"status": 200, "setCookie": false}`, "setting a cookie"},
	{`"want": {"status": 200, "body": "0", "setCookie": true, "newSession": true}`, `"want": {"status": 200, "newSession": false}`, "want that of the user"},
	{`"body": "1", "setCookie": false, "newSession": false`, `"newSession": true`, "want a new one"},
	{`"storedSessions": 3`, `"storedSessions": 4`, "3 sessions have records"},
}

// A case that holds passes, and one that was made wrong, or that says what
// the format does not have, is an error.
func TestBrokenCasesFail(t *testing.T) {
	for kind, c := range map[string]struct {
		good string
		bad  []change
	}{"modules": {goodModules, badModules}, "http": {goodHTTP, badHTTP}} {
		t.Run(kind, func(t *testing.T) {
			if err := runText(t, kind, c.good); err != nil {
				t.Fatalf("the case that holds failed: %v", err)
			}
			for i, change := range c.bad {
				t.Run(fmt.Sprint(i, " ", change.says), func(t *testing.T) {
					t.Parallel()
					text := strings.Replace(strings.Join(strings.Fields(c.good), " "), change.from, change.to, 1)
					if text == strings.Join(strings.Fields(c.good), " ") {
						t.Fatalf("nothing to change: %s", change.from)
					}
					if err := runText(t, kind, text); err == nil || !strings.Contains(err.Error(), change.says) {
						t.Errorf("with %s: got %v, want %q", change.to, err, change.says)
					}
				})
			}
		})
	}
}

// runText runs a case, in a bubble if it can.
func runText(t *testing.T, kind, text string) (err error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "case.json")
	write(t, path, text)
	f := parse(path, kind)
	if f.network {
		return f.runOn(t, inMemory)
	}
	inBubble(t, func(t *testing.T) { err = f.runOn(t, inMemory) })
	return err
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A folder is whole, or an error: nothing in it is passed over.
func TestFolders(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		says  string // "" = it is read
	}{
		"good":           {map[string]string{"README.md": "", "modules/good.json": goodModules, "http/good.json": goodHTTP}, ""},
		"one kind":       {map[string]string{"http/good.json": goodHTTP}, ""},
		"missing":        {nil, "no such file"},
		"empty":          {map[string]string{"README.md": ""}, "no cases"},
		"empty kind":     {map[string]string{"modules/good.json": goodModules, "http/": ""}, "no cases"},
		"another kind":   {map[string]string{"modules/good.json": goodModules, "live/good.json": "{}"}, "no folder of cases"},
		"another file":   {map[string]string{"modules/good.json": goodModules, "notes.txt": ""}, "no folder of cases"},
		"no JSON":        {map[string]string{"modules/good.txt": goodModules}, "a file of JSON"},
		"a folder below": {map[string]string{"modules/more.json/good.json": goodModules}, "is a directory"},
		"two of an id":   {map[string]string{"modules/1.json": goodModules, "modules/2.json": goodModules}, "in use"},
		"two values":     {map[string]string{"modules/1.json": goodModules + "{}"}, "follows the JSON value"},
		"nothing":        {map[string]string{"modules/1.json": ""}, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cases")
			for path, text := range c.files {
				if strings.HasSuffix(path, "/") {
					write(t, filepath.Join(dir, path, "x"), "")
					if err := os.Remove(filepath.Join(dir, path, "x")); err != nil {
						t.Fatal(err)
					}
					continue
				}
				write(t, filepath.Join(dir, path), text)
			}
			files, err := read(dir)
			for _, kind := range files {
				for _, f := range kind {
					if err == nil {
						err = f.err
					}
				}
			}
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

// childVariable tells this program that it is the child of TestRun.
const childVariable = "STAY_GOLDEN_CHILD"

// TestChild is what TestRun runs in a process of its own.
func TestChild(t *testing.T) {
	if os.Getenv(childVariable) != "" {
		Run(t, "no/such/folder", inMemory)
	}
}

// Run takes the folder of the environment, and fails where a case does.
func TestRun(t *testing.T) {
	good, bad := t.TempDir(), t.TempDir()
	write(t, filepath.Join(good, "modules/good.json"), goodModules)
	write(t, filepath.Join(bad, "modules/good.json"), goodModules)
	write(t, filepath.Join(bad, "modules/bad.json"), strings.Replace(strings.Replace(goodModules, `"good"`, `"worse"`, 1), `"evict"`, `"flush"`, 1))
	write(t, filepath.Join(bad, "http/bad.json"), strings.Replace(goodHTTP, `"storedSessions": 3`, `"storedSessions": 0`, 1))
	for name, c := range map[string]struct {
		dir  string
		fail bool
		says []string
	}{
		"good":    {good, false, []string{"--- PASS: TestChild/modules/good"}},
		"bad":     {bad, true, []string{"--- PASS: TestChild/modules/good", "--- FAIL: TestChild/modules/worse", `step "flush" is not known`, "--- FAIL: TestChild/http/good"}},
		"missing": {filepath.Join(good, "nothing"), true, []string{"--- FAIL: TestChild"}},
		"empty":   {t.TempDir(), true, []string{"has no cases"}},
		"default": {"", true, []string{"no/such/folder"}},
	} {
		t.Run(name, func(t *testing.T) {
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestChild$", "-test.v")
			cmd.Env = append(os.Environ(), childVariable+"=1", FolderVariable+"="+c.dir)
			out, err := cmd.CombinedOutput()
			if (err != nil) != c.fail {
				t.Errorf("the process ended with %v, want a failure: %v", err, c.fail)
			}
			for _, text := range c.says {
				if !strings.Contains(string(out), text) {
					t.Errorf("the output lacks %q:\n%s", text, out)
				}
			}
		})
	}
}
