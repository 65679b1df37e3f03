package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// request is what a connection asks for.
type request int

const (
	increment request = iota
	read

	requests // how many there are
)

var requestLine = [requests]string{
	increment: "POST /increment HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n",
	read:      "GET /count HTTP/1.1\r\nHost: 127.0.0.1\r\n",
}

// A browser is a session as its client sees it: the header with its cookies, or nothing.
type browser string

func newBrowser(cookies []string) browser {
	if len(cookies) == 0 {
		return ""
	}
	return browser("Cookie: " + strings.Join(cookies, "; ") + "\r\n")
}

// A conn is a connection that is kept alive. It reads what the servers under
// test send and no more: the client must cost less than any server.
type conn struct {
	addr    string
	raw     net.Conn
	in      *bufio.Reader
	out     []byte
	body    []byte
	cookies []string // of the last answer, when keep is set
	keep    bool
}

// answerTimeout bounds the wait for one answer.
const answerTimeout = 20 * time.Second

// first makes the first increment of a browser, which gets its cookies.
func (c *conn) first() (browser, error) {
	c.keep, c.cookies = true, nil
	_, err := c.ask("", increment)
	c.keep = false
	return newBrowser(c.cookies), err
}

// ask sends a request and returns the number in its answer. Any other status
// than 200 is an error. After an error in the transport the next call connects
// again.
func (c *conn) ask(b browser, req request) (int64, error) {
	if c.raw == nil {
		raw, err := net.DialTimeout("tcp", c.addr, answerTimeout)
		if err != nil {
			return 0, err
		}
		c.raw, c.in = raw, bufio.NewReader(raw)
	}
	c.out = append(append(append(c.out[:0], requestLine[req]...), b...), "\r\n"...)
	status, err := c.exchange()
	switch {
	case err != nil:
		c.close()
		return 0, err
	case status != 200:
		return 0, fmt.Errorf("status %d: %s", status, bytes.TrimSpace(c.body))
	}
	return number(c.body)
}

func (c *conn) close() {
	if c.raw != nil {
		_ = c.raw.Close() // nothing is left to be said on it
		c.raw = nil
	}
}

func (c *conn) exchange() (status int, err error) {
	if err := c.raw.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return 0, err
	}
	if _, err := c.raw.Write(c.out); err != nil {
		return 0, err
	}
	line, err := c.line()
	if err != nil {
		return 0, err
	}
	// HTTP/1.1 200 OK
	if len(line) < 12 {
		return 0, fmt.Errorf("a status line %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, fmt.Errorf("a status line %q", line)
	}
	length := -1
	for {
		if line, err = c.line(); err != nil {
			return 0, err
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch string(name) {
		case "Content-Length":
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, err
			}
		case "Set-Cookie":
			if c.keep {
				pair, _, _ := strings.Cut(string(value), ";")
				c.cookies = append(c.cookies, pair)
			}
		}
	}
	if length < 0 {
		return 0, errors.New("an answer without a length")
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
	_, err = io.ReadFull(c.in, c.body)
	return status, err
}

func (c *conn) line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// number finds the counter in a page.
func number(page []byte) (int64, error) {
	_, rest, found := bytes.Cut(page, []byte("<span id=count>"))
	digits, _, ends := bytes.Cut(rest, []byte("<"))
	if !found || !ends {
		return 0, fmt.Errorf("no counter in %q", page)
	}
	return strconv.ParseInt(string(digits), 10, 64)
}
