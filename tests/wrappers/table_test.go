package wrappers_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the table of docs/routers.md")

const (
	begin = "<!-- wrappers -->\n"
	end   = "<!-- /wrappers -->\n"
)

// The text before and after the table.
const (
	intro = "Written by `make wrappers`, from what the tests in `tests/wrappers` find. \"Outside\" is in front of `web.Sessions`, \"inside\" is between it and the\n" +
		"handlers. Everywhere the session's cookie comes with the first use, errors arrive whole with their status, and a \"no\" is the same\n" +
		"without `web.Sessions`. With `stay.Options.Development` a panic in a handler of package web is a 500 with its cause; the table is without it.\n\n"
	outro = "\nA WebSocket may be the first use of a session if its answer carries the header of the `ResponseWriter`. `coder/websocket` sends that. Pass it to\n" +
		"`gorilla/websocket`, `upgrader.Upgrade(w, r, w.Header())`, and to `gobwas/ws`, `ws.HTTPUpgrader{Header: w.Header()}`. Without it the cookie is lost, and the\n" +
		"log says so. Datastar's SDK works in `web.View`, `Update`, `Do` and `Handle`, where its events arrive together, and streams from plain handlers.\n"
)

var head = []string{"middleware", "where", "pages, changes, errors, first cookie", "after a panic", "after `http.ErrAbortHandler`", "events as they are made", "route seen in front of `web.Sessions`"}

// compareTable compares the table of docs/routers.md with what the tests have
// found; -update writes it.
func compareTable(t *testing.T, rows [][]string) {
	t.Helper()
	var text strings.Builder
	text.WriteString(intro)
	line := func(cells []string) { text.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(head)
	text.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	for i := 0; i < len(rows); i++ {
		row := rows[i]
		// One line is enough for both places if they do not differ.
		if i+1 < len(rows) && rows[i+1][0] == row[0] && strings.Join(rows[i+1][2:], "|") == strings.Join(row[2:], "|") {
			row[1] = "outside, inside"
			i++
		}
		line(row)
	}
	file := filepath.Join("..", "..", "docs", "routers.md")
	was, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(was), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no lines %q and %q", file, begin, end)
	}
	text.WriteString(outro)
	now := before + begin + text.String() + end + after
	if *update {
		if err := os.WriteFile(file, []byte(now), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if now != string(was) {
		t.Errorf("the table of %s is not what the tests find: run make wrappers and look at the difference. They find\n%s", file, text.String())
	}
}
