//go:build !linux && !darwin

package sqlitestore_test

import "io"

// platformChildren are further children; a system without limits on the size
// of files has none.
var platformChildren map[string]func(path string, out io.Writer) error
