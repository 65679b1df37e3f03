package sqlitestore

import (
	"errors"
	"regexp"
	"strings"
)

// dsn matches what other packages open a database by. A file may have such a
// name, but whoever gives Open one of these means something else: a folder or a
// file of that name would be made, and the settings in it would go unheard.
var dsn = regexp.MustCompile(`(?i)^(file|sqlite3?|libsql|jdbc):|^[a-z][a-z0-9+.-]*://|^:memory:|\?.*=`)

// checkPath refuses what is no path. The error does not repeat it, since a URL
// may hold a password.
func checkPath(path string) error {
	if path == "" || path == ":memory:" {
		return errors.New("sqlitestore: a file name is needed: give Open a path, or use memstore.New for state in memory")
	}
	for _, prefix := range []string{"./", "../", `.\`, `..\`} {
		if strings.HasPrefix(path, prefix) {
			return nil
		}
	}
	if dsn.MatchString(path) {
		return errors.New("sqlitestore: Open takes a path, not a DSN or URL: give it the name of the file alone, such as app.db; " +
			"set Options instead of parameters, use memstore.New for state in memory, and open a file that really has such a name as ./name")
	}
	return nil
}
