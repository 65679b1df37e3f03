package sse

import (
	"bytes"
	"strconv"
	"time"
)

// Heartbeat is a comment, which clients skip: it keeps proxies from closing a
// connection on which nothing happens.
const Heartbeat = ":\n\n"

// appendText appends a text that stands in the data of a message, behind what has
// been appended of its line. Readers of event streams end a line at \n, at \r\n
// and at a \r alone, so all of them are ends of lines here, and next begins each
// line but the first. The reader puts a \n between the lines.
func appendText(dst []byte, next string, text []byte) []byte {
	for {
		i := bytes.IndexAny(text, "\r\n")
		if i < 0 {
			return append(dst, text...)
		}
		dst = append(dst, text[:i]...)
		dst = append(dst, '\n')
		dst = append(dst, next...)
		if text[i] == '\r' && i+1 < len(text) && text[i+1] == '\n' {
			i++
		}
		text = text[i+1:]
	}
}

// AppendEvent appends a message with a name and any text as its data. The name
// must be one line.
func AppendEvent(dst []byte, name string, data []byte) []byte {
	dst = append(dst, "event: "...)
	dst = append(dst, name...)
	dst = append(dst, "\ndata: "...)
	dst = appendText(dst, "data: ", data)
	return append(dst, "\n\n"...)
}

// appendRetry appends the field that says when to come back.
func appendRetry(dst []byte, after time.Duration) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, max(after.Milliseconds(), 1), 10)
	return append(dst, '\n')
}
