package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"html"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/stay-go/stay/internal/origin"
)

// FormPost returns a handler for the address to which an identity provider
// posts the result of a sign-in (OpenID Connect with response_mode=form_post,
// as Apple and Entra ID use it, or SAML). Browsers send no session cookie with
// a form of another site, so a login there would begin a new session, and what
// the visitor did as a guest would be lost. FormPost answers such a form with a
// page that posts the same values once more from this site. That request has
// the cookie, and next gets it. All other requests go to next at once.
//
// The page posts automatically, with a script that its Content-Security-Policy
// allows by hash. If scripts do not run, it has a button. next finds one more
// field in the form, _stay_again. Options.MaxBody bounds the form.
//
// Sessions has to let the form of the other site pass:
//
//	cross := http.NewCrossOriginProtection()
//	cross.AddInsecureBypassPattern("POST /callback")
//	mux.Handle("POST /callback", web.FormPost(callback))
//	... web.Sessions(app, &web.Options{CrossOrigin: cross})(mux)
//
// Then any site can post to this address in the name of a visitor. next must
// accept only an answer to a sign-in that this same session has begun: it
// checks the state and nonce of OpenID, or InResponseTo of SAML, kept in a
// PerSession module.
func FormPost(next http.Handler) http.Handler {
	if next == nil {
		panic("web: FormPost needs a handler")
	}
	sum := sha256.Sum256([]byte(againScript))
	policy := "default-src 'none'; base-uri 'none'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	origins := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r.Context())
		if x == nil || r.Method != http.MethodPost || origin.Check(origins, r) == nil {
			next.ServeHTTP(w, r)
			return
		}
		if cookie, _ := x.settings.cookies(r.Header, x.https); cookie != "" {
			next.ServeHTTP(w, r)
			return
		}
		if kind, _, err := mediaType(r); kind != kindForm || err != nil {
			next.ServeHTTP(w, r)
			return
		}
		p := &payload{settings: x.settings, request: r}
		if err := p.parse(false); err != nil {
			fail(x.settings, w, r, 0, err)
			return
		}
		// A proxy may hide that the second form is from this site: there is no
		// third form.
		if p.form.Has(againField) {
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "same-origin") // so that the browser names the origin of the form
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(againPage(p.form))
	})
}

const (
	againField = "_stay_again"
	// The method is that of all forms: a field named submit would be in its place.
	againScript = "HTMLFormElement.prototype.submit.call(document.forms[0])"
)

// againPage returns a page that posts a form to the address that it came from.
func againPage(form url.Values) []byte {
	var b bytes.Buffer
	b.WriteString("<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Signing in</title>\n<form method=\"post\">\n")
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, value := range form[name] {
			b.WriteString(hiddenInput(name, value))
			b.WriteByte('\n')
		}
	}
	b.WriteString(hiddenInput(againField, "1"))
	b.WriteString("\n<button>Continue</button>\n</form>\n<script>" + againScript + "</script>\n</html>\n")
	return b.Bytes()
}

func hiddenInput(name, value string) string {
	return `<input type="hidden" name="` + html.EscapeString(name) + `" value="` + html.EscapeString(value) + `">`
}

// isStranger reports whether r is a form of another site. Browsers send no cookie
// with it.
func (s *settings) isStranger(r *http.Request) bool {
	return r.Method == http.MethodPost && !s.strangers.Load() && origin.Check(http.NewCrossOriginProtection(), r) != nil
}

// warnOfStranger logs, once, that a form of another site has begun a session,
// which is rarely intended.
func (s *settings) warnOfStranger() {
	if s.strangers.CompareAndSwap(false, true) {
		s.logger().Warn("stay: a form of another site has begun a session, because browsers send no session cookie with it: " +
			"what the visitor did before is out of reach; if this is the end of a sign-in, wrap its handler in web.FormPost")
	}
}
