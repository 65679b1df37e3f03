package web

import "net/http"

// IsPartial reports whether htmx or Datastar asks for a part of a page, so that
// a handler for both can render only that part. It is false for boosted links
// and forms of htmx, and when htmx restores a page: these replace the whole page.
//
// The answer depends on headers. If caches may keep it, add them to Vary:
// HX-Request, HX-Boosted and HX-History-Restore-Request for htmx. Answers that
// used a session are not kept anyway.
func IsPartial(r *http.Request) bool {
	h := r.Header
	switch {
	case h.Get("Datastar-Request") == "true":
		return true
	case h.Get("HX-Request") != "true", h.Get("HX-Boosted") == "true", h.Get("HX-History-Restore-Request") == "true":
		return false
	}
	return h.Get("HX-Request-Type") != "full" // of htmx 4, when the target is the whole page
}

// Redirect sends the browser to another page after a change. A plain request
// gets 303 See Other. htmx would follow that redirect and put the other page
// into a part of this one, so a request for which [IsPartial] is true gets the
// header HX-Redirect and no body.
//
// Datastar does not read the header. Use the Redirect of its SDK there.
//
// Do not pass an address that a visitor chose, see [NextPath].
func Redirect(w http.ResponseWriter, r *http.Request, address string) {
	if r.Header.Get("HX-Request") == "true" && IsPartial(r) {
		w.Header().Set("HX-Redirect", address)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	http.Redirect(w, r, address, http.StatusSeeOther)
}

// keepPage keeps htmx from putting the fragment of an error where the answer would
// have gone, because nobody made it for that place. The page stays as it is, and
// so does its address. A handler that has chosen a place itself is left alone.
func keepPage(h http.Header) {
	if h.Get("HX-Reswap") != "" || h.Get("HX-Retarget") != "" {
		return
	}
	h.Set("HX-Reswap", "none")
	h.Set("HX-Push-Url", "false") // otherwise a boosted link would change it
}
