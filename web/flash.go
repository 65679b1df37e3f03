package web

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
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
	// flashDomain separates messages from the other texts that are labelled.
	flashDomain = "flash"
)

// SetFlash keeps a message for the next page that this browser loads, as "Saved"
// after a change that ends with a redirect. The page gets it with [TakeFlash]. A
// later message replaces an earlier one; the message waits five minutes at most, also
// if somebody keeps the cookie.
//
// The message is in a signed cookie of its own, not in the store: SetFlash
// works without a session and inside the function of Update, where it counts
// only if the change is committed. The visitor can read the cookie. Two tabs of
// one browser share it.
//
// It fails with stay.ErrTooLarge if the message is longer than 2 KiB, with
// stay.ErrNoSession if the request did not come through Sessions, and with the
// store's error if the keys that sign cookies cannot be read. Call it before the
// header of the response is written; later it has no effect.
func SetFlash(w http.ResponseWriter, r *http.Request, message string) error {
	x := exchangeOf(r.Context())
	if x == nil {
		return &stay.Error{Code: stay.ErrNoSession, Err: errors.New("web: SetFlash needs a request that came through web.Sessions")}
	}
	if len(message) > maxFlash {
		return &stay.Error{Code: stay.ErrTooLarge, Err: fmt.Errorf("web: a flash message of %d bytes, at most %d are allowed", len(message), maxFlash)}
	}
	s := x.settings
	signed := strconv.FormatInt(s.core.Now().Add(flashAge).Unix(), 10) + "." + base64.RawURLEncoding.EncodeToString([]byte(message))
	label, err := s.ring.Label(r.Context(), flashDomain, signed)
	if err != nil {
		return err
	}
	c := s.newCookie(s.flashName(x.https), label+"."+signed, x.https)
	c.MaxAge = int(flashAge / time.Second)
	http.SetCookie(w, c)
	return nil
}

// TakeFlash returns the message that [SetFlash] has kept for this page, "" if
// there is none, and takes it away, so that it is shown once. A message that
// was not signed by this program counts as none. Call it before the header of the
// response is written; later the message is shown again.
//
// A response that had a message is marked "Cache-Control: no-store".
func TakeFlash(w http.ResponseWriter, r *http.Request) string {
	x := exchangeOf(r.Context())
	if x == nil {
		return ""
	}
	s := x.settings
	sent, err := r.Cookie(s.flashName(x.https))
	if err != nil || sent.Value == "" {
		return ""
	}
	c := s.newCookie(sent.Name, "", x.https)
	c.MaxAge = -1
	http.SetCookie(w, c)
	w.Header().Set("Cache-Control", "no-store")
	message, _, _ := s.openFlash(r, sent.Value)
	return message
}

// openFlash returns the message in the value of a cookie, and whether it is one
// that was signed here and still waits. An error means that the keys cannot be
// read.
func (s *settings) openFlash(r *http.Request, value string) (message string, ok bool, err error) {
	label, signed, _ := strings.Cut(value, ".")
	until, encoded, _ := strings.Cut(signed, ".")
	seconds, err := strconv.ParseInt(until, 10, 64)
	if err != nil || !s.core.Now().Before(time.Unix(seconds, 0)) || base64.RawURLEncoding.DecodedLen(len(encoded)) > maxFlash {
		return "", false, nil //nolint:nilerr // it is no message
	}
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return "", false, nil //nolint:nilerr // it is no message
	}
	if ok, err = s.ring.Labelled(r.Context(), label, flashDomain, signed); !ok {
		return "", false, err
	}
	return string(text), true, nil
}

// flashName returns the name of the cookie for messages.
func (s *settings) flashName(https bool) string { return s.cookieName(https) + "-flash" }
