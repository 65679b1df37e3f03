package sse

import "bytes"

// ValidPart reports whether an id can name a part: in a message, in an attribute
// and in a CSS selector without escapes. The names of messages that EventSource
// and this package make themselves are none.
func ValidPart(id string) bool {
	if id == "" || len(id) > 64 || !letter(id[0]) {
		return false
	}
	for i := range len(id) {
		if c := id[i]; !letter(c) && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return id != Stop && id != "error" && id != "open"
}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// isWhole reports whether html is the element with the id, and not what is inside
// of it: its first tag has the id.
func isWhole(id string, html []byte) bool {
	rest := bytes.TrimLeft(html, space)
	for bytes.HasPrefix(rest, []byte("<!--")) {
		_, after, ok := bytes.Cut(rest[4:], []byte("-->"))
		if !ok {
			return false
		}
		rest = bytes.TrimLeft(after, space)
	}
	if len(rest) < 2 || rest[0] != '<' || !letter(rest[1]) {
		return false
	}
	name := bytes.IndexAny(rest, space+"/>")
	if name < 0 {
		return false
	}
	rest = rest[name:]
	for {
		rest = bytes.TrimLeft(rest, space+"/")
		if len(rest) == 0 || rest[0] == '>' {
			return false
		}
		var name, value []byte
		if name, value, rest = attribute(rest); bytes.EqualFold(name, []byte("id")) {
			return string(value) == id
		}
	}
}

const space = " \t\r\n\f"

// attribute cuts the attribute off with which the inside of a tag begins.
func attribute(tag []byte) (name, value, rest []byte) {
	end := bytes.IndexAny(tag[1:], space+"/>=") + 1 // the first byte is part of the name, whatever it is
	if end == 0 {
		return tag, nil, nil
	}
	name = tag[:end]
	rest = bytes.TrimLeft(tag[end:], space)
	if len(rest) == 0 || rest[0] != '=' {
		return name, nil, rest
	}
	rest = bytes.TrimLeft(rest[1:], space)
	if len(rest) > 0 && (rest[0] == '"' || rest[0] == '\'') {
		value, rest, _ = bytes.Cut(rest[1:], rest[:1])
		return name, value, rest
	}
	if end = bytes.IndexAny(rest, space+">"); end < 0 {
		return name, rest, nil
	}
	return name, rest[:end], rest[end:]
}
