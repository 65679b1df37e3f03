package sqlitestore

import (
	"errors"
	"regexp"
	"strings"
)

// dsn matches the names with which other packages open a database. A file may
// have such a name, but a caller who passes one to Open means something else:
// Open would create a folder or a file of that name and ignore the settings in
// it.
var dsn = regexp.MustCompile(`(?i)^(file|sqlite3?|libsql|jdbc):|^[a-z][a-z0-9+.-]*://|^:memory:|\?.*=`)

// checkPath refuses a name that is not a path. The error does not repeat the
// name, because a URL may hold a password.
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
