package sse_test

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stay-go/stay/internal/sse"
)

// A message is what a client makes of a block of a stream.
type message struct{ event, data string }

// A client reads a stream as one of those that this package writes for does,
// after its own source. It gets the bytes in any pieces.
type client interface {
	feed(chunk []byte)
	read() *reading
}

// A reading is what a client knows.
type reading struct {
	messages []message
	id       string // that it sends when it comes back
	retry    int    // milliseconds; 0: it was never told
}

func (r *reading) read() *reading { return r }

// clients are one for each dialect.
func newClient(d sse.Dialect) client {
	switch d {
	case sse.HTMX:
		return &htmx{}
	case sse.Datastar, sse.Fragments:
		return &datastar{}
	}
	return &eventSource{}
}

// eventSource follows the HTML standard, section 9.2.6.
type eventSource struct {
	reading
	line             []byte
	afterCR          bool
	data, event, buf string
	id               string
}

func (c *eventSource) feed(chunk []byte) {
	for _, b := range chunk {
		if c.afterCR && b == '\n' {
			c.afterCR = false
			continue
		}
		c.afterCR = b == '\r'
		if b == '\r' || b == '\n' {
			c.process(string(c.line))
			c.line = c.line[:0]
			continue
		}
		c.line = append(c.line, b)
	}
}

func (c *eventSource) process(line string) {
	if line == "" {
		c.reading.id = c.id
		if c.data != "" {
			name := c.event
			if name == "" {
				name = "message"
			}
			c.messages = append(c.messages, message{name, strings.TrimSuffix(c.data, "\n")})
		}
		c.data, c.event = "", ""
		return
	}
	if line[0] == ':' {
		return
	}
	field, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch field {
	case "event":
		c.event = value
	case "data":
		c.data += value + "\n"
	case "id":
		if !strings.Contains(value, "\x00") {
			c.id = value
		}
	case "retry":
		if n, err := strconv.ParseUint(value, 10, 31); err == nil {
			c.retry = int(n)
		}
	}
}

// htmx follows parseSSE and handleSSEResponse of hx-sse in htmx 4.0.1.
type htmx struct {
	reading
	buffer         string
	event, data    string
	hasData, hasID bool
	msgRetry       int
}

var lineEnd = regexp.MustCompile(`\r\n|\r|\n`)

func (c *htmx) feed(chunk []byte) {
	lines := lineEnd.Split(c.buffer+string(chunk), -1)
	c.buffer = lines[len(lines)-1]
	for _, line := range lines[:len(lines)-1] {
		if line == "" {
			c.dispatch()
			continue
		}
		field, value, colon := strings.Cut(line, ":")
		if colon && field == "" {
			continue
		}
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "data":
			if c.hasData {
				c.data += "\n"
			}
			c.data += value
			c.hasData = true
		case "event":
			c.event = value
		case "id":
			if !strings.Contains(value, "\x00") {
				c.id, c.hasID = value, true
			}
		case "retry":
			if n, err := strconv.Atoi(value); err == nil {
				c.msgRetry = n
			}
		}
	}
}

func (c *htmx) dispatch() {
	if c.hasData || c.event != "" { // of a message with an id alone only the id counts
		if c.msgRetry != 0 {
			c.retry = c.msgRetry
		}
		c.messages = append(c.messages, message{c.event, c.data})
	}
	c.event, c.data, c.hasData, c.hasID, c.msgRetry = "", "", false, false, 0
}

// datastar follows getLines and getMessages of Datastar 0.21.4, with which 1.0.2
// agrees.
type datastar struct {
	reading
	line    []byte
	afterCR bool
	msg     message
}

func (c *datastar) feed(chunk []byte) {
	for _, b := range chunk {
		if c.afterCR {
			c.afterCR = false
			if b == '\n' {
				continue
			}
		}
		if b != '\r' && b != '\n' {
			c.line = append(c.line, b)
			continue
		}
		c.afterCR = b == '\r'
		c.process(c.line)
		c.line = c.line[:0]
	}
}

func (c *datastar) process(line []byte) {
	if len(line) == 0 {
		c.messages = append(c.messages, c.msg)
		c.msg = message{}
		return
	}
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return
	}
	value := strings.TrimPrefix(string(line[colon+1:]), " ")
	switch string(line[:colon]) {
	case "data":
		if c.msg.data != "" {
			c.msg.data += "\n"
		}
		c.msg.data += value
	case "event":
		c.msg.event = value
	case "id":
		c.id = value
	case "retry":
		if n, err := strconv.Atoi(value); err == nil {
			c.retry = n
		}
	}
}

// A patch is what a client does to its page.
type patch struct {
	id    string
	inner bool
	html  string
}

// patches returns what the messages of a client do.
func patches(t *testing.T, d sse.Dialect, messages []message) []patch {
	t.Helper()
	var out []patch
	for _, m := range messages {
		switch {
		case d == sse.Plain:
			if !strings.Contains(m.event, ":") && m.event != sse.Stop {
				out = append(out, patch{id: m.event, html: m.data})
			}
		case d == sse.HTMX:
			if m.event == "" {
				out = append(out, partial(t, m.data))
			}
		case strings.HasPrefix(m.event, "datastar"):
			out = append(out, arguments(t, d, m))
		case m.data != "" || m.event != "":
			t.Errorf("Datastar leaves a message out: %+v", m)
		}
	}
	return out
}

var opening = regexp.MustCompile(`^<hx-partial hx-target="#([\w-]+)" hx-swap="(inner|outer)HTML">`)

// partial reads a message of htmx 4.
func partial(t *testing.T, data string) patch {
	t.Helper()
	m := opening.FindStringSubmatch(data)
	inner, ok := strings.CutSuffix(data, "</hx-partial>")
	if m == nil || !ok {
		t.Fatalf("htmx 4 would swap %q into the element that has the stream", data)
	}
	return patch{m[1], m[2] == "inner", inner[len(m[0]):]}
}

// arguments reads a message as the actions of Datastar do.
func arguments(t *testing.T, d sse.Dialect, m message) patch {
	t.Helper()
	lines := map[string][]string{}
	for line := range strings.SplitSeq(m.data, "\n") {
		name, value, ok := strings.Cut(line, " ")
		if !ok {
			t.Fatalf("Datastar takes %q for another argument than it is", line)
		}
		if d == sse.Fragments {
			value = strings.TrimSpace(value)
		}
		lines[name] = append(lines[name], value)
	}
	get := func(name string) string { return strings.Join(lines[name], "\n") }
	id, _ := strings.CutPrefix(get("selector"), "#")
	if d == sse.Datastar {
		want(t, m.event, "datastar-patch-elements")
		return patch{id, get("mode") == "inner", get("elements")}
	}
	want(t, m.event, "datastar-merge-fragments")
	html := get("fragments")
	if get("mergeMode") == "inner" {
		html = strings.TrimSuffix(strings.TrimPrefix(html, "<template>"), "</template>")
	}
	return patch{id, get("mergeMode") == "inner", html}
}

func want[T comparable](t *testing.T, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("got %#v, want %#v", got, want)
	}
}
