package golden

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// An httpCase is a file of http/.
type httpCase struct {
	newSite newSite
	setup   setup
	steps   []httpStep
	stored  int
}

type httpCaseText struct {
	people
	Setup           map[string]fieldText
	ResetOnPageLoad bool
	Steps           []json.RawMessage
	Expect          *struct{ StoredSessions *int }
}

type fieldText struct {
	Value    json.RawMessage
	Preserve bool
}

// An httpStep is a restart or one or more requests.
type httpStep struct {
	restart    bool
	user       string
	method     string
	path       string
	headers    map[string]string
	cookie     *string
	times      int
	concurrent bool
	want       httpWant
}

// httpWant is what is expected of the answers. Nil is not.
type httpWant struct {
	Status      int
	Body        json.RawMessage
	BodyLacks   string
	SetCookie   *bool
	NewSession  *bool
	CookieHas   []string
	Headers     map[string]string
	Bodies      []json.RawMessage
	SetCookies  *int
	NewSessions *int
}

// parseHTTPCase reads a file of http/.
func parseHTTPCase(raw []byte) (string, *httpCase, error) {
	var text httpCaseText
	if err := decode(raw, &text); err != nil {
		return "", nil, err
	}
	c, err := httpCaseOf(&text)
	return text.ID, c, err
}

func httpCaseOf(text *httpCaseText) (c *httpCase, err error) {
	if err := need(map[string]bool{
		"id": text.ID != "", "setup": text.Setup != nil, "steps": text.Steps != nil,
		"expect": text.Expect != nil && text.Expect.StoredSessions != nil,
	}); err != nil {
		return nil, err
	}
	c = &httpCase{stored: *text.Expect.StoredSessions}
	if c.newSite, c.setup, err = setupOf(text.Setup, text.ResetOnPageLoad); err != nil {
		return nil, err
	}
	for _, raw := range text.Steps {
		s, err := httpStepOf(raw)
		if err != nil {
			return nil, fmt.Errorf("step %s: %w", raw, err)
		}
		c.steps = append(c.steps, s)
	}
	return c, nil
}

func httpStepOf(raw json.RawMessage) (s httpStep, err error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(raw, &keys); err != nil {
		return s, err
	}
	if keys["restart"] != nil {
		var o struct{ Restart bool }
		if err := decode(raw, &o); err != nil || !o.Restart {
			return s, errors.Join(errors.New("restart is true and stands alone"), err)
		}
		return httpStep{restart: true}, nil
	}
	var o struct {
		User, Method, Path string
		Headers            map[string]string
		Cookie             *string
		Times              *int
		Concurrent         bool
		Want               *httpWant
	}
	if err := decode(raw, &o); err != nil {
		return s, err
	}
	if err := need(map[string]bool{
		"user": o.User != "", "method": o.Method != "", "path": o.Path != "", "want": o.Want != nil,
	}); err != nil {
		return s, err
	}
	s = httpStep{
		user: o.User, method: o.Method, path: o.Path, headers: o.Headers, cookie: o.Cookie,
		times: 1, concurrent: o.Concurrent, want: *o.Want,
	}
	if o.Times != nil {
		s.times = *o.Times
	}
	switch {
	case s.times < 1:
		return s, fmt.Errorf("%d times", s.times)
	case s.concurrent && o.Times == nil:
		return s, errors.New("concurrent without times")
	}
	return s, s.checkWant()
}

func (s *httpStep) checkWant() error {
	w := &s.want
	together := map[string]bool{"bodies": w.Bodies != nil, "setCookies": w.SetCookies != nil, "newSessions": w.NewSessions != nil}
	each := map[string]bool{"body": w.Body != nil, "setCookie": w.SetCookie != nil, "newSession": w.NewSession != nil}
	wrong := together
	if s.concurrent {
		wrong = each
	}
	for _, name := range slices.Sorted(maps.Keys(wrong)) {
		if wrong[name] {
			return fmt.Errorf("want: %s does not go with concurrent: %v", name, s.concurrent)
		}
	}
	if w.Bodies != nil && len(w.Bodies) != s.times {
		return fmt.Errorf("want: %d bodies of %d answers", len(w.Bodies), s.times)
	}
	if w.Status == 0 {
		return errors.New("want: missing: status")
	}
	bodies := w.Bodies
	if w.Body != nil {
		bodies = []json.RawMessage{w.Body}
	}
	for _, raw := range bodies {
		if !slices.Contains([]byte(`"{[`), raw[0]) {
			return fmt.Errorf("want: the body %s is neither text nor an object nor a list", raw)
		}
	}
	return nil
}
