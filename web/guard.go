package web

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/stay-go/stay"
)

// RequireUser returns a middleware that lets only logged-in users through, see
// stay.Session.Login. It stands behind Sessions. The login page itself is open
// to everyone; login is its path as browsers send it, also behind
// http.StripPrefix.
//
// It sends others who load a page to the path login, with the page that they
// wanted in the query parameter next, see [NextPath]. It sends forms of the
// browser and requests of htmx there too, with the page that the visitor sees:
// what the form has is lost. It answers all other requests, such as those of
// scripts, with 401, as [Error] does.
//
// A visitor whose session cannot be read, because the store does not answer,
// counts as not logged in.
func RequireUser(login string) func(http.Handler) http.Handler {
	if !isLocal(login) {
		panic("web: RequireUser needs the path of the login page, such as /login")
	}
	page, _ := url.Parse(login) // isLocal has parsed it
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := stay.SessionFrom(r.Context())
			sent := addressOf(r)
			switch {
			case s == nil:
				Error(w, r, &stay.Error{
					Code: stay.ErrNoSession,
					Err:  errors.New("web: RequireUser stands outside of web.Sessions: put it behind"),
				})
			case samePath(sent, page), s.User() != "":
				next.ServeHTTP(w, r)
			case isPageLoad(r):
				Redirect(w, r, withNext(login, sent.RequestURI()))
			case isFormPost(r):
				Redirect(w, r, withNext(login, pageOf(r, "Referer")))
			case r.Header.Get("HX-Request") == "true":
				Redirect(w, r, withNext(login, pageOf(r, "HX-Current-URL")))
			default:
				fail(settingsOf(r, unknownApp), w, r, http.StatusUnauthorized, &stay.Error{Code: stay.ErrDenied, Message: "log in first"})
			}
		})
	}
}

// addressOf returns the address that the browser has sent r to. r.URL may have lost
// the beginning of it, as behind http.StripPrefix.
func addressOf(r *http.Request) *url.URL {
	if u, err := url.ParseRequestURI(r.RequestURI); err == nil {
		return u
	}
	return r.URL // of a request that came through no server
}

// samePath reports whether two addresses have the same path, however it is written.
// A slash that is encoded is another one.
func samePath(a, b *url.URL) bool {
	return a.Path == b.Path && strings.Count(a.EscapedPath(), "/") == strings.Count(b.EscapedPath(), "/")
}

// NextPath returns the page to go to after a login: the form or query parameter
// next if it is a path of this site, otherwise fallback. Addresses of other
// sites are never returned: a link to the login page could lead a visitor there.
func NextPath(r *http.Request, fallback string) string {
	if next := r.FormValue("next"); isLocal(next) {
		return next
	}
	return fallback
}

// isLocal reports whether a browser takes s for a path of the same site.
// Browsers drop tabs and line breaks, and take \ for /.
func isLocal(s string) bool {
	if !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == '\\' || c == 0x7f }) {
		return false
	}
	u, err := url.Parse(s)
	return err == nil && u.Host == "" && u.Scheme == ""
}

// withNext adds a page to the address of the login page.
func withNext(login, page string) string {
	if !isLocal(page) {
		return login
	}
	sep := "?"
	if strings.Contains(login, "?") {
		sep = "&"
	}
	return login + sep + "next=" + url.QueryEscape(page)
}

// pageOf returns the path of the page that the request was made on, as a header
// says; "" if it is not known or of another site.
func pageOf(r *http.Request, header string) string {
	u, err := url.Parse(r.Header.Get(header))
	if err != nil || u.Host != r.Host {
		return ""
	}
	return u.RequestURI()
}

// isFormPost reports whether a browser sends a form of a page and goes to the
// answer.
func isFormPost(r *http.Request) bool {
	return r.Method == http.MethodPost && r.Header.Get("Sec-Fetch-Mode") == "navigate"
}
