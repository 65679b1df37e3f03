package web

import (
	"bytes"
	"errors"
	"html/template"
	"maps"
	"mime/multipart"
	"net/http"
	"net/url"

	"github.com/stay-go/stay"
)

// What a page says of the login that it was rendered for.
const (
	pageField  = "_stay_page"
	pageHeader = "Stay-Page"
	// guestPage is the value of a guest's page.
	guestPage = "guest"
)

// PageField returns a hidden field for a form, so that a page of one user that is
// sent after another has logged in, in the same browser, is refused: as 409,
// stay.ErrConflict, before anything is changed. In a template, with the request as
// a function or in the data:
//
//	<form method="post">{{.PageField}} ...
//
// Update, Do, Payload, Bind and Actions check the field when they read the body.
// Handlers that read the form in another way do not. A form without the field is
// taken as before.
//
// The field names the user, not the session: a page stays good when the session is
// renewed, and when the same user logs in again, in another session too. A page
// that was rendered for a guest is good for everybody: whoever logs in after it
// was loaded is taken for the same person. After a logout, pages of the user are
// refused. The value is a keyed hash, which tells nobody the user.
func PageField(r *http.Request) template.HTML {
	return template.HTML(hiddenInput(pageField, PageValue(r))) //nolint:gosec // it is escaped
}

// PageValue returns the value of [PageField] for requests that carry it as the
// header Stay-Page, which Sessions checks in all requests that could change
// something. With htmx, on an element around all others, inside body, which
// keeps its attributes when hx-boost shows another page:
//
//	<body><div hx-headers='{"Stay-Page": "{{.PageValue}}"}'> ...
//
// It is "" outside of Sessions and if the session cannot be read; an empty value
// is taken as none.
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
	label, err := x.settings.ring.Label(r.Context(), user)
	if err != nil {
		return ""
	}
	return label
}

// checkPage returns an error if a value is that of a page which was rendered for
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
		if ok, err = s.ring.Labelled(r.Context(), value, user); err != nil {
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
	values := r.Header[pageHeader]
	if len(values) == 0 {
		return nil
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return nil // a link of an old page leads to a new one
	}
	return s.checkPage(r, values[0])
}

// checkPageBody is checkPage for the form in a body that has been read.
func (s *settings) checkPageBody(r *http.Request, body []byte) error {
	switch {
	case r.MultipartForm != nil:
		return s.checkPage(r, url.Values(r.MultipartForm.Value).Get(pageField))
	case r.PostForm != nil:
		return s.checkPage(r, r.PostForm.Get(pageField))
	case !bytes.Contains(body, []byte(pageField)):
		return nil
	}
	var form url.Values
	switch kind, params, _ := mediaType(r); kind {
	case kindForm:
		form, _ = url.ParseQuery(string(body)) // what cannot be parsed, fn will not see either
	case kindMultipart:
		f, err := multipart.NewReader(bytes.NewReader(body), params["boundary"]).ReadForm(s.maxBody)
		if err != nil {
			return nil //nolint:nilerr // fn gets this error
		}
		form = f.Value
		_ = f.RemoveAll()
	}
	return s.checkPage(r, form.Get(pageField))
}

// takePage takes the field of the page out of the form, and checks it.
func (p *payload) takePage() {
	if !p.form.Has(pageField) {
		return
	}
	value := p.form.Get(pageField)
	p.form = maps.Clone(p.form) // the request may have it
	delete(p.form, pageField)
	if err := p.settings.checkPage(p.request, value); err != nil {
		p.err = err
	}
}
