package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"html/template"
	"maps"
	"net/http"

	"github.com/stay-go/stay"
)

// What a page says about the login that it was rendered for.
const (
	pageField  = "_stay_page"
	pageHeader = "Stay-Page"
	// guestPage is the value of a guest's page.
	guestPage = "guest"
	// pageDomain separates pages from the other texts that are labelled.
	pageDomain = "page"
)

// PageField returns a hidden field for a form. If one user's page is sent after
// another user has logged in, in the same browser, the field makes it fail with
// 409, stay.ErrConflict, before anything is changed. In a template, with the
// request as a function or in the data:
//
//	<form method="post">{{.PageField}} ...
//
// Update, Do, Payload, Bind, ReadForm and Actions check the field when they read
// the body, a form or the top level of JSON, or the address if the values are
// sent there; see [Payload]. Handlers that read the form in another way do not.
// A form without the field is accepted.
//
// The field names the user, not the session: a page stays good when the session
// is renewed, and when the same user logs in again, in another session too. A
// page that was rendered for a guest is good for everyone: a user who logs in
// after it was loaded counts as the same person. After a logout, pages of the
// user are refused. The value is a keyed hash, which does not reveal the user.
//
// The check comes before the change. If another request logs in between them, the
// session's cookie is renewed, and the change fails. With
// stay.Options.KeepCookieOnKeyChange it does not fail: the new user's state
// changes.
func PageField(r *http.Request) template.HTML {
	return template.HTML(hiddenInput(pageField, PageValue(r))) //nolint:gosec // it is escaped
}

// PageValue returns the value of [PageField] for requests that carry it as the
// header Stay-Page, which Sessions and Visits check in all requests that could
// change something. With htmx, on an element around all others, inside body,
// which keeps its attributes when hx-boost shows another page:
//
//	<body><div hx-headers='{"Stay-Page": "{{.PageValue}}"}'> ...
//
// It is "" outside of Sessions and if the session cannot be read; an empty
// value counts as no value.
func PageValue(r *http.Request) string {
	x := exchangeOf(r.Context())
	if x == nil {
		return ""
	}
	user, err := x.settings.core.User(r.Context())
	switch {
	case err == nil && user == "", errors.Is(err, stay.ErrEnded):
		return guestPage
	case err != nil:
		return ""
	}
	label, err := x.settings.ring.Label(r.Context(), pageDomain, user)
	if err != nil {
		return ""
	}
	return label
}

// checkPage returns an error if a value comes from a page that was rendered for
// another user than the one who is logged in.
func (s *settings) checkPage(r *http.Request, value string) error {
	if value == "" || value == guestPage || exchangeOf(r.Context()) == nil {
		return nil
	}
	user, err := s.core.User(r.Context())
	if err != nil {
		return err
	}
	ok := false
	if user != "" {
		if ok, err = s.ring.Labelled(r.Context(), value, pageDomain, user); err != nil {
			return err
		}
	}
	if !ok {
		return &stay.Error{Code: stay.ErrConflict, Message: "this page belongs to another login: load it again"}
	}
	return nil
}

// checkPageHeader is checkPage for the header of a request.
func (s *settings) checkPageHeader(r *http.Request) error {
	if isSafe(r.Method) {
		return nil // a link of an old page leads to a new one
	}
	if value := first(r.Header, pageHeader); value != "" {
		return s.checkPage(r, value)
	}
	return nil
}

// checkPageBody is checkPage for a body that has been read. What cannot be parsed
// here is no error: it is for the function of [Update] to say what it takes.
func (s *settings) checkPageBody(r *http.Request, body []byte) error {
	switch {
	case len(body) > 0 && !bytes.Contains(body, []byte(pageField)),
		len(body) == 0 && r.Method == http.MethodPost && r.PostForm == nil && r.MultipartForm == nil:
		return nil
	}
	kind, params, err := mediaType(r)
	if err != nil {
		return nil //nolint:nilerr // the function gets this error
	}
	p := &payload{settings: s, request: r}
	if done, _ := p.takeParsed(kind, true); !done && p.form == nil {
		_ = p.parseBody(kind, params, body, true)
	}
	return p.checkPages(p.pageValues())
}

// takePage removes the field of the page from the payload, and checks it.
func (p *payload) takePage() error {
	values := p.pageValues()
	if p.form.Has(pageField) {
		p.form = maps.Clone(p.form) // the request may have it
		delete(p.form, pageField)
	}
	p.paged = p.json != nil && len(values) > 0
	return p.checkPages(values)
}

// pageValues returns what the payload says of its page: the values of the field
// in a form, or at the top level of JSON, where several make a list.
func (p *payload) pageValues() []string {
	if p.json == nil {
		return p.form[pageField]
	}
	if !bytes.Contains(p.json, []byte(pageField)) {
		return nil
	}
	var top struct {
		Page json.RawMessage `json:"_stay_page"`
	}
	if json.Unmarshal(p.json, &top) != nil || top.Page == nil {
		return nil
	}
	var one string
	if json.Unmarshal(top.Page, &one) == nil {
		return []string{one}
	}
	var several []string
	if json.Unmarshal(top.Page, &several) == nil {
		return several
	}
	return []string{string(top.Page)} // no page has such a value
}

func (p *payload) checkPages(values []string) error {
	for _, value := range values {
		if err := p.settings.checkPage(p.request, value); err != nil {
			return err
		}
	}
	return nil
}
