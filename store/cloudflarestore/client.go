package cloudflarestore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// format is the version of what is said between this package and the Worker.
	format = "1"

	// maxAnswer bounds an answer of the Worker.
	maxAnswer = 128 << 20

	// maxTries is how often a read is sent, and retryPause is waited before the second
	// time, twice that before the third, and so on.
	maxTries   = 5
	retryPause = 20 * time.Millisecond

	// maxIdle is how many connections are kept that nobody uses.
	maxIdle = 64
)

// A dialer connects to the Worker's host.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// newClient returns a client that follows no redirections, which could take the
// secret elsewhere. Each request under way has a connection for itself, so that one
// that hangs holds up no other: that is why it is not HTTP/2.
func newClient(dial dialer) *http.Client {
	if dial == nil {
		dial = (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         dial,
			Protocols:           protocols,
			TLSHandshakeTimeout: 5 * time.Second,
			MaxIdleConnsPerHost: maxIdle,
			IdleConnTimeout:     time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// errURL shows nothing of what was given, which may have a secret in it.
var errURL = errors.New("cloudflarestore: the URL is not one of a Worker; its form is https://stay.example.workers.dev, without a user and a query")

func parseURL(given string) (*url.URL, error) {
	u, err := url.Parse(given)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errURL
	}
	switch u.Scheme {
	case "https":
	case "http":
		if ip, err := netip.ParseAddr(u.Hostname()); u.Hostname() != "localhost" && (err != nil || !ip.IsLoopback()) {
			return nil, errors.New("cloudflarestore: the URL is http, which would show the secret to everybody on the way: use https")
		}
	default:
		return nil, errURL
	}
	return u, nil
}

func checkSecret(secret string) error {
	if len(secret) < minSecret {
		return fmt.Errorf("cloudflarestore: the secret has %d characters: use %d or more that nobody can guess", len(secret), minSecret)
	}
	if strings.ContainsFunc(secret, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return errors.New("cloudflarestore: the secret has spaces or characters that are not ASCII")
	}
	return nil
}

// errNotSent means that nothing was sent to the Worker.
var errNotSent = errors.New("no connection")

// A refusal is the Worker's answer to a request with which it has done nothing.
type refusal struct {
	status int
	why    string
}

func (r *refusal) Error() string { return fmt.Sprintf("refused (%d): %s", r.status, r.why) }

// done reports whether it is possible that the Worker has done, or will do, what it
// was asked for.
func done(err error) bool {
	_, refused := errors.AsType[*refusal](err)
	return !refused && !errors.Is(err, errNotSent)
}

// An answer is that of an object.
type answer struct {
	Answer json.RawMessage `json:"answer"`
	Error  string          `json:"error"`
}

// into decodes an answer.
func (a *answer) into(v any) error {
	if a.Error != "" {
		return fmt.Errorf("the object has failed: %s", a.Error)
	}
	if err := json.Unmarshal(a.Answer, v); err != nil {
		return fmt.Errorf("an answer that cannot be read: %w", err)
	}
	return nil
}

// A request is what the Worker gets.
type request struct {
	Method string `json:"method"`
	Calls  []any  `json:"calls"` // one for each object
}

// ask sends one request, once. If there is no error, there is an answer for each
// call.
func (s *Store) ask(ctx context.Context, method string, calls []any) ([]answer, error) {
	body, err := json.Marshal(request{Method: method, Calls: calls})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotSent, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotSent, err)
	}
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotSent, err)
	}
	req.Header = s.header()
	resp, err := s.client.Do(req)
	if err != nil {
		if urlErr, ok := errors.AsType[*url.Error](err); ok {
			err = urlErr.Err // without the address, which is known
		}
		if !connected.Load() {
			err = fmt.Errorf("%w: %w", errNotSent, err)
		}
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Stay-Format") == "" {
		return nil, notAnswered(resp, text)
	}
	var answers []answer
	if err := json.Unmarshal(text, &answers); err != nil {
		return nil, fmt.Errorf("an answer that cannot be read: %w", err)
	}
	if len(answers) != len(calls) {
		return nil, fmt.Errorf("%d answers to %d calls", len(answers), len(calls))
	}
	return answers, nil
}

// header is that of every request.
func (s *Store) header() http.Header {
	return http.Header{
		"Authorization": {"Bearer " + s.secret},
		"Content-Type":  {"application/json"},
		"Stay-Format":   {format},
	}
}

// notAnswered is the error of a response without answers. Only the Worker knows
// whether something was done; others have no Stay-Format.
func notAnswered(resp *http.Response, text []byte) error {
	var said struct {
		Refused string `json:"refused"`
	}
	if resp.Header.Get("Stay-Format") != "" && json.Unmarshal(text, &said) == nil && said.Refused != "" {
		return &refusal{resp.StatusCode, said.Refused}
	}
	return fmt.Errorf("the answer is not one of the Worker: %s", resp.Status)
}

// retry does something that changes nothing, or may be done twice. If an attempt is
// not answered in time, or its connection breaks, it is made again with more time.
func (s *Store) retry(ctx context.Context, do func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, maxRead)
	defer cancel()
	stop := context.AfterFunc(s.closing, cancel)
	defer stop()
	limit := s.attempt
	for try := 1; ; try++ {
		attempt, cancel := context.WithTimeout(ctx, limit)
		err := do(attempt)
		cancel()
		if err == nil || !done(err) || ctx.Err() != nil || try == maxTries {
			return err
		}
		if pause(ctx, time.Duration(try)*retryPause) != nil {
			return err
		}
		limit *= 3
	}
}
