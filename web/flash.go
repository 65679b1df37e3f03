package web

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
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
	flashDomain = "flash\x00"
)

// SetFlash keeps a message for the next page that this browser loads, as "Saved"
// after a change that ends with a redirect. The page gets it with [TakeFlash]. A
// later message replaces an earlier one; the message waits five minutes at most.
//
// The message is in its own signed cookie, not in the store. SetFlash works
// without a session, and inside the function of Update, where it counts only if
// the change is committed. The visitor can read the cookie. Two tabs of one
// browser share it.
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
	label, err := s.ring.Label(r.Context(), flashDomain+message)
	if err != nil {
		return err
	}
	c := s.newCookie(s.flashName(x.https), label+"."+base64.RawURLEncoding.EncodeToString([]byte(message)), x.https)
	c.MaxAge = int(flashAge / time.Second)
	http.SetCookie(w, c)
	return nil
}

// TakeFlash returns the message that [SetFlash] has kept for this page, ""
// without one, and removes it, so that it is shown once. A message that this
// program has not signed does not count. Call it before the header of the
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
	label, encoded, _ := strings.Cut(sent.Value, ".")
	message, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || len(message) > maxFlash {
		return ""
	}
	if ok, err := s.ring.Labelled(r.Context(), label, flashDomain+string(message)); err != nil || !ok {
		return ""
	}
	return string(message)
}

// flashName returns the name of the cookie for messages.
func (s *settings) flashName(https bool) string { return s.cookieName(https) + "-flash" }
