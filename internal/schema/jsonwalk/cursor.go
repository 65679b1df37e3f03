// Package jsonwalk walks through JSON text and through the struct types of its
// values, by the rules of encoding/json but with exact names.
package jsonwalk

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Check returns nil if data is one JSON value and nothing else, nested no
// deeper than encoding/json decodes (10000 levels). The error says what is
// wrong and where.
func Check(data []byte) error {
	if json.Valid(data) {
		return nil
	}
	var raw json.RawMessage
	err := json.Unmarshal(data, &raw)
	if err == nil {
		err = errors.New("invalid JSON")
	}
	return err
}

// A Cursor reads JSON text once, from left to right. The text must have passed
// [Check] or come from encoding/json. On other text the results mean nothing
// and the methods may panic.
//
// Read an object with
//
//	for c.Enter(); c.More(); {
//		name := c.Name()
//		value := c.Skip() // or Enter again
//	}
//
// and an array in the same way, without Name.
type Cursor struct {
	data []byte
	pos  int
}

// NewCursor returns a cursor before the value in data.
func NewCursor(data []byte) *Cursor { return &Cursor{data: data} }

// Kind returns the first byte of the next value: one of { [ " t f n, or the
// first byte of a number.
func (c *Cursor) Kind() byte {
	c.space()
	return c.data[c.pos]
}

// Offset returns where the next value begins in the text. It is valid after
// Kind.
func (c *Cursor) Offset() int { return c.pos }

// Enter steps into the object or array that is the next value.
func (c *Cursor) Enter() {
	c.space()
	c.pos++
}

// More reports whether the object or array entered last has another member. If
// it has, More steps in front of it, otherwise behind the whole value.
func (c *Cursor) More() bool {
	c.space()
	switch c.data[c.pos] {
	case ',':
		c.pos++
		return true
	case '}', ']':
		c.pos++
		return false
	}
	return true
}

// Name steps over the name of a member and its colon, and returns the name as
// it is written, with its quotes; see [Unquote].
func (c *Cursor) Name() []byte {
	name := c.Skip()
	c.space()
	c.pos++
	return name
}

// Skip steps over the next value and returns its text, which is part of the
// cursor's data.
func (c *Cursor) Skip() []byte {
	c.space()
	start := c.pos
	switch c.data[c.pos] {
	case '"':
		c.text()
	case '{', '[':
		c.nested()
	default:
		for c.pos < len(c.data) && !ends(c.data[c.pos]) {
			c.pos++
		}
	}
	return c.data[start:c.pos]
}

func (c *Cursor) nested() {
	depth := 0
	for {
		switch c.data[c.pos] {
		case '"':
			c.text()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		c.pos++
		if depth == 0 {
			return
		}
	}
}

func (c *Cursor) text() {
	for c.pos++; c.data[c.pos] != '"'; c.pos++ {
		if c.data[c.pos] == '\\' {
			c.pos++
		}
	}
	c.pos++
}

func (c *Cursor) space() {
	for c.pos < len(c.data) && isSpace(c.data[c.pos]) {
		c.pos++
	}
}

func isSpace(b byte) bool { return b == ' ' || b == '\n' || b == '\t' || b == '\r' }

func ends(b byte) bool { return b == ',' || b == '}' || b == ']' || isSpace(b) }

// Unquote returns the text of a JSON string. Like encoding/json it replaces
// what is not valid UTF-8.
func Unquote(quoted []byte) string {
	text := quoted[1 : len(quoted)-1]
	if Plain(quoted) {
		return string(text)
	}
	// The string gets no more memory than it needs, because it may be kept for
	// long.
	var room [64]byte
	b := room[:0]
	if len(text) > len(room) {
		b = make([]byte, 0, len(text))
	}
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r == '\\' {
			r, size = unescape(text)
		}
		b = utf8.AppendRune(b, r)
		text = text[size:]
	}
	return string(b)
}

// unescape returns the character of an escape sequence, and the length of the
// sequence.
func unescape(text []byte) (r rune, size int) {
	switch text[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r = codeUnit(text)
		if !utf16.IsSurrogate(r) {
			return r, 6
		}
		if r = utf16.DecodeRune(r, codeUnit(text[6:])); r != utf8.RuneError {
			return r, 12
		}
		return r, 6 // half of a pair
	}
	return rune(text[1]), 2
}

// codeUnit returns the number of a \u sequence, or 0 if there is none.
func codeUnit(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0
	}
	u, _ := strconv.ParseUint(string(text[2:6]), 16, 16) // the text passed Check
	return rune(u)
}

// Plain reports whether the text of a JSON string is exactly what stands
// between its quotes.
func Plain(quoted []byte) bool {
	return bytes.IndexByte(quoted, '\\') < 0 && utf8.Valid(quoted)
}
