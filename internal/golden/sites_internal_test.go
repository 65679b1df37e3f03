package golden

import (
	"fmt"
	"strings"
	"testing"
)

// For every choice of preserved fields there is a site, and a reset keeps
// these fields and no others.
func TestSites(t *testing.T) {
	names := []string{"count", "username", "theme", "cart", "prefs"}
	initial := []string{`0`, `""`, `"light"`, `[]`, `{"n": 0}`}
	changed := []string{`1`, `"ann"`, `"dark"`, `["x"]`, `{"n": 1}`}
	paths := []string{"increment", "name/ann", "theme/dark", "cart/x", "prefs"}
	for n := range 1 << len(names) {
		var setup, steps, after []string
		for i, name := range names {
			kept, value := n>>i&1 == 1, initial[i]
			setup = append(setup, fmt.Sprintf(`%q: {"value": %s, "preserve": %v}`, name, value, kept))
			steps = append(steps, fmt.Sprintf(`{"user": "A", "method": "POST", "path": "/api/%s", "want": {"status": 200}}`, paths[i]))
			if kept {
				value = changed[i]
			}
			after = append(after, fmt.Sprintf("%q: %s", name, value))
		}
		text := fmt.Sprintf(`{
			"id": "site", "setup": {%s},
			"steps": [%s,
				{"user": "A", "method": "POST", "path": "/api/reset", "want": {"status": 200}},
				{"user": "A", "method": "GET", "path": "/api/all", "want": {"status": 200, "body": {%s}}}
			],
			"expect": {"storedSessions": 1}
		}`, strings.Join(setup, ", "), strings.Join(steps, ", "), strings.Join(after, ", "))
		if err := runText(t, "http", text); err != nil {
			t.Errorf("%s: %v", strings.Join(setup, ", "), err)
		}
	}
}
