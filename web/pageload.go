package web

import (
	"net/http"
	"strings"
)

// isPageLoad reports whether r loads a whole page, as opposed to a part of one,
// a file, or a page that may never be looked at. Browsers and libraries say so
// in different headers: Sec-Fetch-* if they are sent, which is the case on
// https and on localhost, and Accept elsewhere.
func isPageLoad(r *http.Request) bool {
	h := r.Header
	switch {
	case r.Method != http.MethodGet, speculative(h):
		return false
	case h.Get("HX-History-Restore-Request") == "true", h.Get("HX-Boosted") == "true":
		return true // htmx replaces the old page with a whole page
	}
	metadata := false
	for name := range h {
		if strings.HasPrefix(name, "Hx-") || strings.HasPrefix(name, "Datastar-") {
			return false
		}
		metadata = metadata || strings.HasPrefix(name, "Sec-Fetch-")
	}
	if metadata {
		return h.Get("Sec-Fetch-Mode") == "navigate" && h.Get("Sec-Fetch-Dest") == "document"
	}
	accept := strings.ToLower(strings.Join(h["Accept"], ","))
	return strings.Contains(accept, "text/html") && !strings.Contains(accept, "text/event-stream")
}

// speculative reports whether the page was requested before the visitor wanted
// it: prefetched, previewed or prerendered by the browser, or preloaded by
// htmx. Sec-Purpose has older names: Purpose of Chromium, X-Purpose of Safari
// and X-Moz of Firefox.
func speculative(h http.Header) bool {
	for _, name := range [...]string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if len(h[name]) > 0 {
			return true
		}
	}
	return h.Get("HX-Preloaded") == "true"
}
