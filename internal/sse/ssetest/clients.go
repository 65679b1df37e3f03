// Package ssetest reads event streams as the clients do that package sse writes
// for: each reader follows the source of its client, not that of the writer. It is
// for tests.
package ssetest

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/stay-go/stay/internal/sse"
)

// A Message is what a client makes of a block of a stream.
type Message struct{ Event, Data string }

// A Client reads one stream. It gets the bytes in any pieces.
type Client interface {
	Feed(chunk []byte)
	Read() *Reading
}

// A Reading is what a client knows.
type Reading struct {
	Messages []Message
	ID       string // that it sends when it comes back
	Retry    int    // milliseconds; 0: it was never told
}

// Read implements Client.
func (r *Reading) Read() *Reading { return r }

// New returns the client of a dialect.
func New(d sse.Dialect) Client {
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
	Reading
	line        []byte
	afterCR     bool
	data, event string
	id          string
}

func (c *eventSource) Feed(chunk []byte) {
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
		c.ID = c.id
		if c.data != "" {
			name := c.event
			if name == "" {
				name = "message"
			}
			c.Messages = append(c.Messages, Message{name, strings.TrimSuffix(c.data, "\n")})
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
			c.Retry = int(n)
		}
	}
}

// htmx follows parseSSE and handleSSEResponse of hx-sse in htmx 4.0.1.
type htmx struct {
	Reading
	buffer         string
	event, data    string
	hasData, hasID bool
	msgRetry       int
}

// lineEnd is what htmx splits at.
var lineEnd = regexp.MustCompile(`\r\n|\r|\n`)

func (c *htmx) Feed(chunk []byte) {
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
				c.ID, c.hasID = value, true
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
			c.Retry = c.msgRetry
		}
		c.Messages = append(c.Messages, Message{c.event, c.data})
	}
	c.event, c.data, c.hasData, c.hasID, c.msgRetry = "", "", false, false, 0
}

// datastar follows getLines and getMessages of Datastar 0.21.4, with which 1.0.2
// agrees.
type datastar struct {
	Reading
	line    []byte
	afterCR bool
	msg     Message
}

func (c *datastar) Feed(chunk []byte) {
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
		c.Messages = append(c.Messages, c.msg)
		c.msg = Message{}
		return
	}
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return
	}
	value := strings.TrimPrefix(string(line[colon+1:]), " ")
	switch string(line[:colon]) {
	case "data":
		if c.msg.Data != "" {
			c.msg.Data += "\n"
		}
		c.msg.Data += value
	case "event":
		c.msg.Event = value
	case "id":
		c.ID = value
	case "retry":
		if n, err := strconv.Atoi(value); err == nil {
			c.Retry = n
		}
	}
}

// A Patch is what a client does to its page.
type Patch struct {
	ID    string // of the element; "" = that of the first tag
	Inner bool   // HTML is the inside of the element
	HTML  string
}

// Patches returns what the messages of a client do. An error is about a message
// that the client would not take for what was meant.
func Patches(d sse.Dialect, messages []Message) ([]Patch, error) {
	var out []Patch
	for _, m := range messages {
		var p Patch
		var err error
		switch {
		case d == sse.Plain && !strings.Contains(m.Event, ":") && m.Event != sse.Stop:
			p = Patch{ID: m.Event, HTML: m.Data}
		case d == sse.HTMX && m.Event == "":
			p, err = partial(m.Data)
		case d.Breaks() && strings.HasPrefix(m.Event, "datastar"):
			p, err = arguments(d, m)
		case d.Breaks() && (m.Data != "" || m.Event != ""):
			err = fmt.Errorf("ssetest: Datastar leaves a message out: %+v", m)
		default:
			continue
		}
		if err != nil {
			return out, err
		}
		out = append(out, p)
	}
	return out, nil
}

var opening = regexp.MustCompile(`^<hx-partial hx-target="#([\w-]+)" hx-swap="(inner|outer)HTML">`)

// partial reads a message of htmx 4.
func partial(data string) (Patch, error) {
	m := opening.FindStringSubmatch(data)
	inner, ok := strings.CutSuffix(data, "</hx-partial>")
	if m == nil || !ok {
		return Patch{}, fmt.Errorf("ssetest: htmx 4 would swap %q into the element that has the stream", data)
	}
	return Patch{m[1], m[2] == "inner", inner[len(m[0]):]}, nil
}

// arguments reads a message as the actions of Datastar do.
func arguments(d sse.Dialect, m Message) (Patch, error) {
	lines := map[string][]string{}
	for line := range strings.SplitSeq(m.Data, "\n") {
		name, value, ok := strings.Cut(line, " ")
		if !ok {
			return Patch{}, fmt.Errorf("ssetest: Datastar takes %q for another argument than it is", line)
		}
		if d == sse.Fragments {
			value = strings.TrimSpace(value)
		}
		lines[name] = append(lines[name], value)
	}
	get := func(name string) string { return strings.Join(lines[name], "\n") }
	event, mode, text := "datastar-patch-elements", "mode", "elements"
	if d == sse.Fragments {
		event, mode, text = "datastar-merge-fragments", "mergeMode", "fragments"
	}
	if m.Event != event {
		return Patch{}, fmt.Errorf("ssetest: %q is not for this Datastar", m.Event)
	}
	p := Patch{ID: strings.TrimPrefix(get("selector"), "#"), Inner: get(mode) == "inner", HTML: get(text)}
	if d == sse.Fragments && p.Inner { // the inside of the first element is what counts
		p.HTML = strings.TrimSuffix(strings.TrimPrefix(p.HTML, "<template>"), "</template>")
	}
	return p, nil
}
