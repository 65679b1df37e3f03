package exampletest

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stay-go/stay/staytest"
)

// Form is the headers of a browser that submits a form, and HTMX and Datastar those
// of the libraries, as Visitor.Send takes them.
var (
	Form     = []string{"Accept", "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}
	HTMX     = []string{"Accept", "*/*", "HX-Request", "true", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}
	Datastar = []string{"Accept", "text/event-stream, text/html, application/json", "Datastar-Request", "true", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}
)

// A Visitor is a client with its own cookies that does not follow redirects.
type Visitor struct {
	t      testing.TB
	server string
	client *http.Client
}

// Visit brings a new visitor to the handler.
func Visit(t testing.TB, handler http.Handler) *Visitor {
	t.Helper()
	client, server := staytest.Browser(t, handler)
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Visitor{t: t, server: server, client: client}
}

// Send makes a request with a form, or none if it is nil. Headers come in
// pairs of name and value. The body of the response is read and closed.
func (v *Visitor) Send(method, path string, form url.Values, headers ...string) (*http.Response, string) {
	v.t.Helper()
	if form == nil {
		return v.send(method, path, nil, headers)
	}
	return v.send(method, path, strings.NewReader(form.Encode()), append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...))
}

// SendSignals makes a request as Datastar does, with signals as JSON.
func (v *Visitor) SendSignals(method, path, signals string) (*http.Response, string) {
	v.t.Helper()
	return v.send(method, path, strings.NewReader(signals), append([]string{"Content-Type", "application/json"}, Datastar...))
}

func (v *Visitor) send(method, path string, body io.Reader, headers []string) (*http.Response, string) {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), method, v.server+path, body)
	if err != nil {
		v.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := v.client.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		v.t.Fatal(err)
	}
	return resp, string(text)
}
