package system_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A rawClient speaks HTTP over one connection and costs next to nothing, so
// that the tests that make very many requests spend their time in the server.
// It is for one goroutine.
type rawClient struct {
	conn net.Conn
	in   *bufio.Reader
	out  bytes.Buffer
}

func dial(url string) (*rawClient, error) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		return nil, err
	}
	return &rawClient{conn: conn, in: bufio.NewReader(conn)}, nil
}

func (c *rawClient) close() { _ = c.conn.Close() }

// A rawAnswer is what is of interest in a response.
type rawAnswer struct {
	status int
	cookie string // of the session, "" if none is set
	id     string // the header X-Id
	body   string

	retryAfter string
}

// do makes a request without a body and reads its answer.
func (c *rawClient) do(method, path, cookie string) (rawAnswer, error) {
	c.ask(method, path, cookie)
	if err := c.flush(); err != nil {
		return rawAnswer{}, err
	}
	return c.read()
}

// ask puts a request into the buffer that flush sends.
func (c *rawClient) ask(method, path, cookie string) {
	fmt.Fprintf(&c.out, "%s %s HTTP/1.1\r\nHost: app.test\r\n", method, path)
	if cookie != "" {
		fmt.Fprintf(&c.out, "Cookie: stay=%s\r\n", cookie)
	}
	if method != http.MethodGet {
		c.out.WriteString("Content-Length: 0\r\n")
	}
	c.out.WriteString("\r\n")
}

func (c *rawClient) flush() error {
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := c.out.WriteTo(c.conn)
	return err
}

// read reads the answer that comes next.
func (c *rawClient) read() (rawAnswer, error) {
	var a rawAnswer
	line, err := c.in.ReadString('\n')
	if err != nil {
		return a, err
	}
	if _, err := fmt.Sscanf(line, "HTTP/1.1 %d", &a.status); err != nil {
		return a, err
	}
	length := -1
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return a, err
		}
		name, value, found := strings.Cut(strings.TrimRight(line, "\r\n"), ": ")
		switch {
		case !found:
			if length < 0 {
				return a, errors.New("the answer has no length")
			}
			body := make([]byte, length)
			_, err := io.ReadFull(c.in, body)
			a.body = string(body)
			return a, err
		case name == "Content-Length":
			if length, err = strconv.Atoi(value); err != nil {
				return a, err
			}
		case name == "X-Id":
			a.id = value
		case name == "Retry-After":
			a.retryAfter = value
		case name == "Set-Cookie" && strings.HasPrefix(value, "stay="):
			a.cookie, _, _ = strings.Cut(strings.TrimPrefix(value, "stay="), ";")
		}
	}
}
