package system_test

import (
	"database/sql"
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// documentedSQL returns the statement that the guide has for a key that leaked.
func documentedSQL(t *testing.T) string {
	t.Helper()
	guide, err := os.ReadFile(filepath.Join("..", "..", "docs", "deployment.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`app\.db "([^"]*stay/keys[^"]*)"`).FindSubmatch(guide)
	if found == nil {
		t.Fatal("docs/deployment.md does not say what to do when a key has leaked")
	}
	return string(found[1])
}

// byHand is what an operator does with a tool for databases, and no process of
// Stay's hears of.
func byHand(t *testing.T, path, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("PRAGMA busy_timeout = 5000; " + statement); err != nil {
		t.Fatal(err)
	}
}

// A key that has leaked and is deleted as the guide says is given up by all
// processes that run, which agree on the next one; a process that starts later
// knows nothing else.
//
// Proves C3, W1.
func TestALeakedKeyIsDeletedAsTheGuideSays(t *testing.T) {
	one := buildServer(t)
	one.shared = true
	two := &process{t: t, program: one.program, db: one.db, shared: true}
	t.Cleanup(func() {
		if two.cmd != nil {
			two.kill()
		}
	})
	one.start()
	two.start()
	user := one.browser("")
	user.want("POST", "/click", 200, "1")
	leaked := user.cookie
	two.browser(leaked).want("POST", "/click", 200, "2")

	// As often as a key may leak.
	for range 3 {
		byHand(t, one.db, documentedSQL(t))
		// The processes look at the keys every other minute, and at once when a
		// cookie names one that they do not know.
		unknown := base64.RawURLEncoding.EncodeToString(append([]byte{4: 2}, make([]byte, 41)...)) // 2 is the format
		for _, p := range []*process{one, two} {
			eventually(t, "the leaked key is given up", func() bool {
				p.browser(unknown).do("GET", "/")
				return p.browser(leaked).do("GET", "/").body == "0"
			})
		}
		fresh := one.browser(leaked)
		fresh.want("POST", "/click", 200, "1")
		if fresh.cookie == leaked {
			t.Fatal("the leaked cookie is still good")
		}
		for _, p := range []*process{two, one} {
			p.browser(leaked).want("GET", "/", 200, "0")
		}
		eventually(t, "the other process knows the new key", func() bool {
			return two.browser(fresh.cookie).do("GET", "/").body == "1"
		})
		leaked = fresh.cookie
	}

	two.kill()
	two.start()
	two.browser(leaked).want("GET", "/", 200, "1")
}
