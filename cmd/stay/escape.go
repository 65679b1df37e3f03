package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
)

// escaping writes text without what may change a terminal or the order of what it
// shows: keys and values may have any characters. JSON stays the same JSON.
type escaping struct{ w io.Writer }

// Write implements io.Writer.
func (e escaping) Write(p []byte) (int, error) {
	if _, err := io.WriteString(e.w, escape(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// escape writes control and format characters as JSON does.
func escape(text string) string {
	var out strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || r == '\t' || !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp):
			out.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.String()
}

// printable is a key as lists show it: as it is, or in double quotes as in Go if it
// has other characters.
func printable(key string) string {
	if quoted := strconv.Quote(key); quoted != `"`+key+`"` {
		return quoted
	}
	return key
}

// keyArgument is the key that somebody has typed, or has copied from a list.
func keyArgument(arg string) (string, error) {
	if !strings.HasPrefix(arg, `"`) {
		return arg, nil
	}
	key, err := strconv.Unquote(arg)
	if err != nil {
		return "", &usageError{fmt.Errorf("a key that begins with a double quote is in double quotes, as in Go: %s", arg)}
	}
	return key, nil
}
