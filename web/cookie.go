package web

import (
	"net/http"
	"strings"
	"time"

	"github.com/stay-go/stay/internal/access"
)

// hostPrefix makes the browser itself refuse the cookie unless it is Secure,
// for the whole site and without a Domain: no subdomain and no plain http
// answer can plant it.
const hostPrefix = "__Host-"

// embeddedPrefix stands before the name of the cookie for Embedded pages. A
// browser keeps a cookie with the attribute Partitioned beside one without it.
// With one name a request would send both.
const embeddedPrefix = "embedded-"

// https reports whether the browser that sent r speaks https.
func (s *settings) https(r *http.Request) bool {
	switch s.secure {
	case SecureAlways:
		return true
	case SecureNever:
		return false
	}
	if s.trustProxy {
		if proto := forwardedProto(r); proto != "" {
			return strings.EqualFold(proto, "https")
		}
	}
	return r.TLS != nil
}

// forwardedProto returns the scheme that the first proxy names, the one that the
// browser talks to.
func forwardedProto(r *http.Request) string {
	proto, _, _ := strings.Cut(first(r.Header, "X-Forwarded-Proto"), ",")
	return strings.TrimSpace(proto)
}

// first is Header.Get for a canonical name: to make it canonical again, as Get
// does, costs more than to look it up.
func first(h http.Header, canonical string) string {
	if v := h[canonical]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// cookieName returns the name of the session cookie for the scheme of r. The
// other name is never read: a cookie planted over plain http has no effect on
// https.
func (s *settings) cookieName(https bool) string {
	if https {
		return s.secureName
	}
	return s.plainName
}

// cookies returns the values of the session's cookie, as token does. A browser
// from before Options.Embedded was switched has the cookie of the other name: that
// one counts, and switched is true, until the browser gets one of this name.
func (s *settings) cookies(h http.Header, https bool) (values string, switched bool) {
	values = token(h, s.cookieName(https))
	if values == "" && https {
		values = token(h, s.otherName)
		switched = values != ""
	}
	return values, switched
}

// token returns the values of all cookies of that name, of any length: the code
// that verifies them bounds them. There may be several, because a cookie of
// another path, of the parent domain or of a program on another port can have
// the same name. They are separated by a semicolon, which no value has.
func token(h http.Header, name string) string {
	found := ""
	n := 0
	for _, line := range h["Cookie"] {
		for line != "" {
			var part string
			part, line, _ = strings.Cut(line, ";")
			// Trim only the blanks that the format has: a wider notion of space
			// would read a name the browser does not protect as ours.
			key, value, ok := strings.Cut(strings.Trim(part, " \t"), "=")
			if !ok || key != name {
				continue
			}
			switch n++; {
			case n == 1:
				found = value
			case n <= access.MaxCookies+1: // one more than count shows that there are too many
				found += ";" + value
			}
		}
	}
	return found
}

// setCookie returns the Set-Cookie line that gives the browser token until
// expires; an empty token clears it.
func (s *settings) setCookie(token string, expires, now time.Time, https bool) string {
	c := s.newCookie(s.cookieName(https), token, https)
	switch {
	case token == "":
		c.Expires = time.Unix(1, 0)
		c.MaxAge = -1
	case !expires.IsZero():
		c.Expires = expires
		c.MaxAge = int(expires.Sub(now) / time.Second)
		if c.MaxAge <= 0 {
			c.MaxAge = -1
		}
	}
	return c.String()
}

// clearOther returns the Set-Cookie line that clears the cookie of the other
// name.
func (s *settings) clearOther() string {
	c := s.newCookie(s.otherName, "", true)
	c.Expires, c.MaxAge, c.Partitioned = time.Unix(1, 0), -1, !s.embedded
	return c.String()
}

// newCookie returns a cookie for the whole site that scripts cannot read.
func (s *settings) newCookie(name, value string, https bool) *http.Cookie {
	c := &http.Cookie{
		Name:     name,
		Value:    value,
		Path:     "/",
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
		Secure:   https,
	}
	if s.embedded && https { // browsers accept SameSite=None only with Secure
		c.SameSite, c.Partitioned = http.SameSiteNoneMode, true
	}
	return c
}
