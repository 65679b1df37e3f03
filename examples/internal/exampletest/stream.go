package exampletest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A Stream is an event stream that a visitor has open.
type Stream struct {
	t    testing.TB
	resp *http.Response
	body *bufio.Reader
}

// Stream opens an event stream, as EventSource does. It ends with the test, or
// after a minute, whatever the server does.
func (v *Visitor) Stream(path string, headers ...string) *Stream {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	v.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, v.server+path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := v.client.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		v.t.Fatalf("GET %s: %s, %s", path, resp.Status, resp.Header.Get("Content-Type"))
	}
	return &Stream{v.t, resp, bufio.NewReader(resp.Body)}
}

// Message returns the data of the next message with a name.
func (s *Stream) Message(name string) string {
	s.t.Helper()
	var event string
	var data []string
	for {
		line, err := s.body.ReadString('\n')
		if err != nil {
			s.t.Fatalf("the stream ended before a message %q: %v", name, err)
		}
		line = strings.TrimSuffix(line, "\n")
		if value, ok := strings.CutPrefix(line, "event: "); ok {
			event = value
		}
		if value, ok := strings.CutPrefix(line, "data: "); ok {
			data = append(data, value)
		}
		if line == "" {
			if event == name {
				return strings.Join(data, "\n")
			}
			event, data = "", nil
		}
	}
}

// Ends reads to the end of the stream and fails the test if a message with a name
// comes before that.
func (s *Stream) Ends() {
	s.t.Helper()
	rest, err := io.ReadAll(s.body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		s.t.Errorf("the stream does not end: %v", err)
	}
	if strings.Contains(string(rest), "event:") {
		s.t.Errorf("the stream ends with %q", rest)
	}
}
