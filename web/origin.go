package web

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/origin"
)

// checkOrigin returns an error for a request from another origin that could
// change anything, and logs it.
func (s *settings) checkOrigin(r *http.Request) error {
	return s.refuse(r, origin.Check(s.crossOrigin, r))
}

// checkStream returns an error for a request of an event stream from another
// origin, and logs it. It changes no state, and a page of another origin cannot
// read the answer. But it holds a place of those that the visitor's session has,
// and with a middleware that adds CORS headers the page could read it.
func (s *settings) checkStream(r *http.Request) error {
	c := s.crossOrigin
	if c == nil { // outside of Sessions
		c = http.NewCrossOriginProtection()
	}
	return s.refuse(r, origin.CheckAny(c, r))
}

// refuse returns the error for a request that a check has refused, and logs it.
func (s *settings) refuse(r *http.Request, err error) error {
	if err == nil {
		return nil
	}
	s.logRefusal(r)
	return &stay.Error{Code: stay.ErrDenied, Message: "this request came from another site", Err: err}
}

// maxLogged bounds what a log line shows of a header: clients write what they
// like.
const maxLogged = 200

// logRefusal logs why a request was refused, and what to do if it came from a
// page of the program itself. Attackers can send many requests, so the log is
// limited.
func (s *settings) logRefusal(r *http.Request) {
	log := s.logger()
	if !log.Enabled(r.Context(), slog.LevelWarn) {
		return
	}
	ok, leftOut := s.refusals.Take(time.Now())
	if !ok {
		return
	}
	attrs := []slog.Attr{
		slog.String("origin", shorten(r.Header.Get("Origin"))),
		slog.String("host", shorten(r.Host)),
		slog.String("method", r.Method),
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		attrs = append(attrs, slog.String("sec_fetch_site", shorten(site)))
	}
	if leftOut > 0 {
		attrs = append(attrs, slog.Int("left_out", leftOut))
	}
	log.LogAttrs(r.Context(), slog.LevelWarn, "stay: a request from another origin was refused; if a page of this program has sent it, "+
		"have the proxy pass on the header Host as the browser sends it, with its port, "+
		"or name the origin with AddTrustedOrigin of web.Options.CrossOrigin; "+
		"the origin is null if the page has a Referrer-Policy of no-referrer: use same-origin", attrs...)
}

func shorten(text string) string {
	if len(text) > maxLogged {
		text = strings.ToValidUTF8(text[:maxLogged], "") + "..."
	}
	return text
}

// warnOfProxy logs, once, that a proxy seems to end TLS and no option says so:
// the cookie goes out without Secure. Only browsers without a cookie are looked at.
func (s *settings) warnOfProxy(r *http.Request) {
	if s.secure != SecureAuto || s.trustProxy || r.TLS != nil || s.proxySeen.Load() {
		return
	}
	if !strings.EqualFold(forwardedProto(r), "https") || !s.proxySeen.CompareAndSwap(false, true) {
		return
	}
	s.logger().Warn("stay: a request has the header X-Forwarded-Proto: https, which is not believed, so its session cookie is that of plain http, without Secure: " +
		"set web.Options.TrustProxy if a proxy of yours sets the header and clients cannot, or web.Options.Secure")
}
