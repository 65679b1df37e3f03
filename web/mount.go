package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// left returns what is left of the path of r behind the mount of a handler,
// without the leading slash and as the client wrote it.
//
// The mount is the fixed part of the handler's route: all of Request.Pattern,
// as http.ServeMux and chi set it, before the wildcard that takes the rest.
// Without a route it is the root. If the beginning of the path was cut off
// since, as http.StripPrefix does, all of the mount is gone.
//
// A route without such a wildcard fixes whole paths. For these, left returns
// the last two elements as rest and the last one as last; "" means none.
// Elements behind another wildcard are not returned: the client chooses what
// such a wildcard matches.
func left(r *http.Request) (rest, last string) {
	path := r.URL.EscapedPath()
	sent, _, _ := strings.Cut(r.RequestURI, "?")
	if sent == "" {
		sent = path // a request that came through no server
	}
	if needlesslyEncoded(sent) || path != sent && needlesslyEncoded(path) {
		return "", ""
	}
	cut := len(sent) - len(path) // how much has been cut off
	rewritten := !strings.HasSuffix(sent, path)
	if _, route, ok := strings.Cut(r.Pattern, "/"); ok && !rewritten { // a method and a host are before it
		if rest, last, ok := follow(r, route, path); ok && !cutOff(r, route, sent, cut) {
			return rest, last
		}
	}
	path, slash := strings.CutPrefix(path, "/")
	if slash && !rewritten && cut > 0 && sent[cut-1] == '/' {
		return "", "" // two slashes, of which one was cut off
	}
	return path, ""
}

// atMount reports whether the path of r is the mount itself. A path that left
// takes for none, because of how it is written, is not.
func atMount(r *http.Request) bool {
	sent, _, _ := strings.Cut(r.RequestURI, "?")
	if path := r.URL.EscapedPath(); strings.Contains(path+sent, "%") || strings.Contains(path, "//") || strings.HasSuffix(sent, "//") {
		return false
	}
	rest, last := left(r)
	return rest == "" && last == ""
}

// cutOff reports whether something was cut off the path since the route was
// found: then the route fits the path together with some of the first bytes
// that were sent.
func cutOff(r *http.Request, route, sent string, cut int) bool {
	for i := range cut {
		if sent[i] == '/' {
			if _, _, ok := follow(r, route, sent[i:]); ok {
				return true
			}
		}
	}
	return false
}

// needlesslyEncoded reports whether something in a path is encoded although it
// means the same unencoded: code that looks at the text of the path has not
// seen it.
func needlesslyEncoded(path string) bool {
	for {
		_, after, ok := strings.Cut(path, "%")
		if !ok {
			return false
		}
		if len(after) < 2 {
			return true
		}
		if c, err := strconv.ParseUint(after[:2], 16, 8); err != nil || unreserved(byte(c)) {
			return true
		}
		path = after[2:]
	}
}

// unreserved reports whether c has no meaning in a path but itself.
func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// follow goes along a route, without the leading slash, and a path. It reports
// whether they fit, and returns the results of left.
func follow(r *http.Request, route, path string) (rest, last string, ok bool) {
	path, ok = strings.CutPrefix(path, "/")
	// open says whether path begins at the beginning or behind a literal. rest
	// is path one element earlier if that element began so.
	for open := true; ok; {
		if route == "" || route == "*" || strings.HasPrefix(route, "{") && strings.HasSuffix(route, "...}") {
			return path, "", true
		}
		element, nextRoute, more := strings.Cut(route, "/")
		got, nextPath, slash := strings.Cut(path, "/")
		if more != slash || !meets(r, element, got) {
			break
		}
		if !open {
			path = ""
		}
		if !more {
			return rest, path, true
		}
		rest, open = path, !wild(element)
		route, path = nextRoute, nextPath
	}
	return "", "", false
}

func wild(element string) bool { return strings.ContainsAny(element, "{}") }

// meets reports whether an element of a route matches an element of a path.
func meets(r *http.Request, element, got string) bool {
	if got == element || got == "" {
		return got != ""
	}
	plain, err := url.PathUnescape(got)
	if err != nil || !wild(element) {
		return err == nil && plain == element
	}
	name, _, _ := strings.Cut(strings.Trim(element, "{}"), ":") // chi has expressions
	value := r.PathValue(name)
	return value == "" || value == got || value == plain
}
