// Package origin tells requests of other sites from those of a program's own
// pages.
package origin

import (
	"net/http"
	"net/url"
	"strings"
)

// Check returns an error for a request from another origin that could change
// anything. A request to switch protocols is such a request: a page that opens
// a WebSocket sends and reads what it likes, with the cookies of its visitor,
// although the request is a GET.
func Check(c *http.CrossOriginProtection, r *http.Request) error {
	if safe(r.Method) && len(r.Header["Upgrade"]) == 0 {
		return nil
	}
	return CheckAny(c, r)
}

// CheckAny returns an error for every request from another origin, whatever its
// method.
func CheckAny(c *http.CrossOriginProtection, r *http.Request) error {
	if safe(r.Method) {
		unsafe := *r
		unsafe.Method = "UPGRADE" // a method that the check does not consider safe
		r = &unsafe
	}
	return check(c, r)
}

func check(c *http.CrossOriginProtection, r *http.Request) error {
	if ordinary(r.Header) {
		return nil
	}
	err := c.Check(r)
	if err == nil {
		return nil
	}
	if host, ok := withoutDefaultPort(r); ok {
		named := *r
		named.Host = host
		if c.Check(&named) == nil {
			return nil
		}
	}
	return err
}

// safe reports whether the method changes nothing, so that Check lets it pass
// from everywhere.
func safe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	return false
}

// ordinary reports whether Check lets a request with these headers pass, whatever
// else it is. Nearly all requests are like that, and Check looks for each header
// under a name that it makes canonical first.
func ordinary(h http.Header) bool {
	switch first(h["Sec-Fetch-Site"]) {
	case "same-origin", "none":
		return true
	case "":
		return first(h["Origin"]) == ""
	}
	return false
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// withoutDefaultPort returns the host of r without its port, if that is the
// default of the scheme that r comes from: some proxies add the port to Host,
// and browsers leave it out of Origin.
func withoutDefaultPort(r *http.Request) (host string, ok bool) {
	origin, err := url.Parse(r.Header.Get("Origin"))
	if err != nil {
		return "", false
	}
	switch origin.Scheme {
	case "http":
		return strings.CutSuffix(r.Host, ":80")
	case "https":
		return strings.CutSuffix(r.Host, ":443")
	}
	return "", false
}
