// Package plain reads and writes the stored form of sessions to which nothing
// has happened, without the machinery of encoding/json: most stored sessions are
// such, and whoever comes back after theirs has left memory waits for it to be
// read.
package plain

import (
	"bytes"
	"strconv"
)

// A Life has the fields of every stored session. Times are Unix milliseconds.
type Life struct {
	Gen     uint32 `json:"gen"` // of the cookie that is valid
	Created int64  `json:"created"`
	Seen    int64  `json:"seen"`
	Expires int64  `json:"expires"`
}

var names = [...]string{`{"gen":`, `,"created":`, `,"seen":`, `,"expires":`}

const deviceName = `,"device":"`

// Append appends the JSON object of a session and its device, as encoding/json
// writes it with the device in a last field that may be left out. It reports
// false if the device would need an escape; then it has appended nothing.
func Append(b []byte, life *Life, device string) ([]byte, bool) {
	if !isPlain(device) {
		return b, false
	}
	for i, n := range [...]int64{int64(life.Gen), life.Created, life.Seen, life.Expires} {
		b = strconv.AppendInt(append(b, names[i]...), n, 10)
	}
	if device != "" {
		b = append(append(append(b, deviceName...), device...), '"')
	}
	return append(b, '}'), true
}

// Read reads what Append has written. It reports false for everything else, be
// it valid or not. The device is a part of b.
func Read(b []byte) (life Life, device []byte, ok bool) {
	var n [len(names)]int64
	for i, name := range names {
		if b, ok = bytes.CutPrefix(b, []byte(name)); !ok {
			return Life{}, nil, false
		}
		if n[i], b, ok = cutNumber(b); !ok {
			return Life{}, nil, false
		}
	}
	if text, has := bytes.CutPrefix(b, []byte(deviceName)); has {
		if device, b, ok = bytes.Cut(text, []byte{'"'}); !ok || len(device) == 0 || !isPlain(device) {
			return Life{}, nil, false
		}
	}
	life = Life{Gen: uint32(n[0]), Created: n[1], Seen: n[2], Expires: n[3]} //nolint:gosec // it is compared below
	if int64(life.Gen) != n[0] || string(b) != "}" {
		return Life{}, nil, false
	}
	return life, device, true
}

// cutNumber returns the number at the beginning of b, and what follows. It must be
// as strconv writes it, and have 18 digits at most.
func cutNumber(b []byte) (n int64, rest []byte, ok bool) {
	digits, negative := bytes.CutPrefix(b, []byte{'-'})
	i := 0
	for ; i < len(digits) && '0' <= digits[i] && digits[i] <= '9'; i++ {
		if i == 18 {
			return 0, nil, false
		}
		n = 10*n + int64(digits[i]-'0')
	}
	if i == 0 || digits[0] == '0' && (negative || i > 1) {
		return 0, nil, false
	}
	if negative {
		n = -n
	}
	return n, digits[i:], true
}

// isPlain reports whether a text is the same inside a JSON string.
func isPlain[T string | []byte](text T) bool {
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return false
		}
	}
	return true
}
