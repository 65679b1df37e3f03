package web

import (
	"log/slog"
	"net/http"
	"net/textproto"
	"strings"
)

// mark sets the headers that keep the response for one browser: Cache-Control,
// unless the handler has set it, and Vary. x.mu is held.
func (x *exchange) mark(h http.Header) {
	if !x.used && !x.issued {
		return
	}
	x.values = [2]string{"private, no-store", "Cookie"}
	if x.issued || x.flashes {
		x.unshare(h)
	}
	if len(h["Cache-Control"]) == 0 {
		h["Cache-Control"] = x.values[0:1:1]
	}
	switch vary := h["Vary"]; {
	case len(vary) == 0:
		h["Vary"] = x.values[1:2:2]
	case !varies(vary):
		h["Vary"] = append(vary, "Cookie")
	}
}

// unshare removes what lets shared caches keep the response. A cache that keeps
// a session's cookie gives the session to strangers, and one that keeps a
// message shows it to them, so this is not for the handler to decide.
func (x *exchange) unshare(h http.Header) {
	var removed []string
	control := strings.Join(h["Cache-Control"], ", ")
	switch {
	case control == "" || says(control, "no-store") || says(control, "private"):
	case says(control, "no-cache") && !says(control, "public"): // usual for event streams
		h["Cache-Control"] = []string{"private, " + control}
	default:
		removed = append(removed, "Cache-Control: "+control)
		delete(h, "Cache-Control")
	}
	for name, values := range h {
		if cachesOnly(name) {
			removed = append(removed, name+": "+strings.Join(values, ", "))
			delete(h, name)
		}
	}
	if len(removed) == 0 || x.settings.unshared.Swap(true) {
		return
	}
	x.settings.logger().LogAttrs(x, slog.LevelWarn,
		"stay: a response that sets the session's cookie, or that of a message, was meant for shared caches, and is sent with \"Cache-Control: private\": use no state of a session in a response for everyone",
		append(x.where(), slog.Any("removed", removed))...)
}

// says reports whether a Cache-Control has a directive without an argument. It
// does not look into quotes: "private" for some headers is not enough.
func says(control, directive string) bool {
	if strings.Contains(control, `"`) {
		return false
	}
	for part := range strings.SplitSeq(control, ",") {
		if strings.EqualFold(textproto.TrimString(part), directive) {
			return true
		}
	}
	return false
}

// cachesOnly reports whether a header is for shared caches, which then do not
// look at Cache-Control.
func cachesOnly(name string) bool {
	return strings.HasSuffix(name, "Cdn-Cache-Control") || name == "Surrogate-Control" || name == "X-Accel-Expires"
}

// varies reports whether caches already know that the cookie matters.
func varies(vary []string) bool {
	for _, line := range vary {
		for part := range strings.SplitSeq(line, ",") {
			part = textproto.TrimString(part)
			if part == "*" || strings.EqualFold(part, "Cookie") {
				return true
			}
		}
	}
	return false
}
