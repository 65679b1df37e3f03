package web

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stay-go/stay"
)

const (
	// maxFlash bounds a message in bytes: browsers drop cookies beyond 4 KB.
	maxFlash = 2 << 10
	// flashAge is how long a message waits for the next page.
	flashAge = 5 * time.Minute
	// flashDomain separates messages from other labelled texts.
	flashDomain = "flash"
)

// SetFlash keeps a message for the next page that this browser loads, as "Saved"
// after a change that ends with a redirect. The page gets it with [TakeFlash]. A
// later message replaces an earlier one. The message is valid for five minutes.
//
// The message is in its own signed cookie, not in the store. SetFlash works
// without a session, and inside the function of Update, where it counts only if
// the change is committed. The visitor can read the cookie. Two tabs of one
// browser share it. Shared caches may not keep the response, see [Sessions].
//
// It fails with stay.ErrTooLarge if the message is longer than 2 KiB, with
// stay.ErrNoSession if the request did not come through Sessions, with
// stay.ErrInternal if the header of the response was written, and with the
// store's error if the keys that sign cookies cannot be read.
func SetFlash(w http.ResponseWriter, r *http.Request, message string) error {
	x := exchangeOf(r.Context())
	if x == nil {
		return &stay.Error{Code: stay.ErrNoSession, Err: errors.New("web: SetFlash needs a request that came through web.Sessions")}
	}
	if len(message) > maxFlash {
		return &stay.Error{Code: stay.ErrTooLarge, Err: fmt.Errorf("web: a flash message of %d bytes, at most %d are allowed", len(message), maxFlash)}
	}
	if !x.Open() {
		return &stay.Error{Code: stay.ErrInternal, Err: errors.New("web: SetFlash was called after the header of the response was written: call it before")}
	}
	s := x.settings
	signed := strconv.FormatInt(s.core.Now().Add(flashAge).Unix(), 10) + "." + base64.RawURLEncoding.EncodeToString([]byte(message))
	label, err := s.ring.Label(r.Context(), flashDomain, signed)
	if err != nil {
		return err
	}
	c := s.newCookie(s.flashName(x.https), label+"."+signed, x.https)
	c.MaxAge = int(flashAge / time.Second)
	x.flash(w.Header(), c)
	return nil
}

// TakeFlash returns the message that [SetFlash] has kept for this page, ""
// without one, and removes it, so that it is shown once. A message that this
// program has not signed does not count. If the keys that sign cookies cannot be
// read, the message waits for the next page, as does a message that is set in
// the same response. Call TakeFlash before the header of the response is
// written; later the message is shown again.
//
// The page differs from one browser to the next, so it is marked as one that used
// the session, see [Sessions], and "Cache-Control: no-store" if it has a message.
func TakeFlash(w http.ResponseWriter, r *http.Request) string {
	x := exchangeOf(r.Context())
	if x == nil {
		return ""
	}
	x.Used()
	s := x.settings
	name := s.flashName(x.https)
	var message string
	var until int64
	// Another path, or a subdomain, can plant a cookie of that name in front.
	for value := range strings.SplitSeq(token(r.Header, name), ";") {
		text, its, err := s.openFlash(r, value)
		if err != nil {
			return ""
		}
		if its > until {
			message, until = text, its
		}
	}
	if until == 0 {
		return ""
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if !slices.ContainsFunc(h["Set-Cookie"], func(line string) bool {
		return strings.HasPrefix(line, name+"=") && !strings.HasPrefix(line, name+"=;")
	}) {
		c := s.newCookie(name, "", x.https)
		c.MaxAge = -1
		x.flash(h, c)
	}
	return message
}

// openFlash returns the message in the value of a cookie, and the second in which
// it ends: 0 if it is over, or was not signed here. An error means that the keys
// cannot be read.
func (s *settings) openFlash(r *http.Request, value string) (message string, until int64, err error) {
	label, signed, _ := strings.Cut(value, ".")
	end, encoded, _ := strings.Cut(signed, ".")
	until, err = strconv.ParseInt(end, 10, 64)
	if err != nil || until <= s.core.Now().Unix() || base64.RawURLEncoding.DecodedLen(len(encoded)) > maxFlash {
		return "", 0, nil //nolint:nilerr // it is no message
	}
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return "", 0, nil //nolint:nilerr // it is no message
	}
	ok, err := s.ring.Labelled(r.Context(), label, flashDomain, signed)
	if err != nil || !ok {
		return "", 0, err
	}
	return string(text), until, nil
}

// flash puts the cookie of messages into the header, in place of one that is
// there. The response is then for one browser, as one with the session's cookie.
func (x *exchange) flash(h http.Header, c *http.Cookie) {
	x.mu.Lock()
	x.used, x.flashes = true, true
	x.mu.Unlock()
	var lines []string
	for _, line := range h["Set-Cookie"] {
		if !strings.HasPrefix(line, c.Name+"=") {
			lines = append(lines, line)
		}
	}
	h["Set-Cookie"] = append(lines, c.String())
}

// flashName returns the name of the cookie for messages.
func (s *settings) flashName(https bool) string { return s.cookieName(https) + "-flash" }
