package web

import "net/http"

// describes reports whether a header describes a body. It is wrong for another
// body.
func describes(name string) bool {
	switch name {
	case "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Length", "Etag", "Last-Modified":
		return true
	}
	return false
}

// describing returns the headers of h that describe a body, nil if there are
// none.
func describing(h http.Header) http.Header {
	if len(h) == 0 {
		return nil
	}
	var found http.Header
	for name, values := range h {
		if describes(name) {
			if found == nil {
				found = make(http.Header)
			}
			found[name] = values
		}
	}
	return found
}

// takeBack removes the headers with which the handler of r has described a body
// that is not sent. Headers that others have set stay, above all the
// Content-Encoding of a middleware that compresses all output. Headers from
// before Sessions are known; if a writer stands between the handler and
// Sessions, the Content-Encoding may belong to that writer.
func takeBack(w http.ResponseWriter, r *http.Request) {
	if _, buffered := w.(*recorder); buffered {
		return // it knows what was there before
	}
	x := exchangeOf(r.Context())
	if x == nil {
		clearBody(w.Header(), nil, false)
		return
	}
	if x.sent.Load() {
		return
	}
	h := w.Header()
	x.mu.Lock()
	defer x.mu.Unlock()
	inner, direct := w.(*exchange)
	clearBody(h, x.before, direct && inner == x)
	if x.sealed {
		x.mark(h)
	}
}

// clearBody removes the headers that describe a body, or sets them to what they
// were before. Content-Encoding is removed only if encoding is true.
func clearBody(h, before http.Header, encoding bool) {
	for name := range h {
		if !describes(name) {
			continue
		}
		if values, ok := before[name]; ok {
			h[name] = values
		} else if encoding || name != "Content-Encoding" {
			delete(h, name)
		}
	}
	for name, values := range before {
		h[name] = values
	}
}
