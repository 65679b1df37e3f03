package jsonwalk

import "strings"

// A pathError says where in the JSON an error occurred.
type pathError struct {
	path []string // innermost first
	err  error
}

// Within adds a step to the path of err.
func Within(step string, err error) error {
	if pe, ok := err.(*pathError); ok {
		pe.path = append(pe.path, step)
		return pe
	}
	return &pathError{[]string{step}, err}
}

func (e *pathError) Error() string {
	var b strings.Builder
	for i := len(e.path) - 1; i >= 0; i-- {
		if b.Len() > 0 && !strings.HasPrefix(e.path[i], "[") {
			b.WriteByte('.')
		}
		b.WriteString(e.path[i])
	}
	return b.String() + ": " + e.err.Error()
}

func (e *pathError) Unwrap() error { return e.err }
