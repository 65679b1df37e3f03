package web

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"net/url"
	"strings"

	"github.com/stay-go/stay/internal/once"
)

const (
	// onceField is the query parameter with the id of a form.
	onceField      = "_stay_once"
	onceHeader     = "Idempotency-Key"
	replayedHeader = "Idempotency-Replayed"
)

// Once returns an address of this site with an id, which is drawn at random, for
// the action of a form: sent several times, by a double click, a reload of the
// answer or after an answer that was lost, the form changes state once.
//
//	<form method="post" action="{{once "/cart/add"}}">
//
// Each time that the form is shown it must have a new id, also where htmx or a
// stream puts a new form in place of the old one: what is sent with the id of an
// earlier change does not take effect. If it has another content, such as a text
// that was corrected after Back, it is refused with 422, stay.ErrReused.
//
// Scripts send an id of their own, a random one, in the header Idempotency-Key,
// as a text in quotes or as it is; if there are both, the header counts. It has 1
// to 255 characters; a header that is malformed is 400, stay.ErrMalformed. Both
// are ignored in GET, HEAD, OPTIONS and TRACE requests.
//
// The id names every change of state that is made with the context of the
// request, in any handler behind [Sessions], and in those of Update, Do, Handle
// and Actions also elsewhere; see [stay.Once] for what is remembered, and for how
// long. An id is of no use to other sessions, but for states that all share.
//
// If a change was made before, its function does not run. Do, Actions, and
// handlers that make the change themselves, answer with the state as it is now.
// [Update] has nothing to send, and answers a form with a redirect to the page
// that it is on, htmx with HX-Refresh, and scripts with 204. All of these answers
// have "Idempotency-Replayed: true".
//
// The content of a request is its method, its address and its body. The body is
// read before the handler runs if its length is announced and is at most
// Options.MaxBody; if not, the content is not compared. So it is for [Visits],
// which see no body.
func Once(path string) string {
	path, fragment, found := strings.Cut(path, "#")
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	path += sep + onceField + "=" + rand.Text()
	if found {
		path += "#" + fragment
	}
	return path
}

// requestOnce returns what names the changes of r, nil if nothing does. It reads
// the body if it is not too long, and leaves it to be read again.
func (s *settings) requestOnce(r *http.Request) (*once.Request, error) {
	if isSafe(r.Method) {
		return nil, nil
	}
	id, err := onceID(r)
	if id == "" || err != nil {
		return nil, err
	}
	if r.ContentLength < 0 || r.ContentLength > s.maxBody || r.PostForm != nil || r.MultipartForm != nil {
		return once.New(id, 0), nil
	}
	body, err := readBody(s, r)
	switch {
	case err != nil:
		return nil, err
	case int64(len(body)) < r.ContentLength: // some of it was read before
		if len(body) > 0 {
			r.Body = reopen(body)
		}
		return once.New(id, 0), nil
	case len(body) > 0:
		r.Body = reopen(body)
	}
	return once.New(id, contentPrint(r, body)), nil
}

// onceID returns the id of r, "" if it has none.
func onceID(r *http.Request) (string, error) {
	if values, ok := r.Header[onceHeader]; ok {
		if len(values) == 1 {
			if id, ok := parseKey(values[0]); ok {
				return id, nil
			}
		}
		return "", malformed("the header Idempotency-Key is malformed: send one text of 1 to 255 characters", nil)
	}
	if !strings.Contains(r.URL.RawQuery, onceField+"=") {
		return "", nil
	}
	values := r.URL.Query()[onceField]
	if len(values) == 0 { // it is a part of another parameter
		return "", nil
	}
	if len(values) > 1 || values[0] == "" || len(values[0]) > once.MaxID {
		return "", malformed("the address has a malformed id: load the page again", nil)
	}
	return values[0], nil
}

// parseKey reads the value of Idempotency-Key: a string in quotes, as the header
// is defined, or a plain one, as many clients send it.
func parseKey(s string) (id string, ok bool) {
	inner, quoted := strings.CutPrefix(s, `"`)
	if !quoted {
		plain := func(c byte) bool { return c > ' ' && c < 0x7f && c != '"' && c != ',' && c != ';' }
		for i := range len(s) {
			if !plain(s[i]) {
				return "", false
			}
		}
		return s, len(s) >= 1 && len(s) <= once.MaxID
	}
	var b strings.Builder
	for i := 0; i < len(inner); i++ {
		switch c := inner[i]; {
		case c == '"':
			return b.String(), i == len(inner)-1 && b.Len() >= 1 && b.Len() <= once.MaxID
		case c == '\\':
			if i++; i == len(inner) || inner[i] != '"' && inner[i] != '\\' {
				return "", false
			}
			b.WriteByte(inner[i])
		case c < ' ' || c >= 0x7f:
			return "", false
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

// contentPrint tells the content of a request from others; it is not 0. The
// boundary of a form with parts is drawn anew each time that the form is sent,
// and is not content.
func contentPrint(r *http.Request, body []byte) uint32 {
	h := sha256.New()
	for _, part := range [...]string{r.Method, r.URL.EscapedPath(), r.URL.RawQuery} {
		_, _ = h.Write([]byte(part))
		_, _ = h.Write([]byte{0})
	}
	rest := body
	if kind, params, err := mediaType(r); err == nil && kind == kindMultipart {
		for boundary := []byte(params["boundary"]); ; {
			part, after, found := bytes.Cut(rest, boundary)
			if !found {
				break
			}
			_, _ = h.Write(part)
			_, _ = h.Write([]byte{0})
			rest = after
		}
	}
	_, _ = h.Write(rest)
	return max(binary.BigEndian.Uint32(h.Sum(nil)), 1)
}

// named returns r with what names its changes, for handlers that may stand outside
// of Sessions.
func (s *settings) named(r *http.Request) (*http.Request, error) {
	if exchangeOf(r.Context()) != nil || once.Of(r.Context()) != nil {
		return r, nil
	}
	own := *r // its body may be replaced
	o, err := s.requestOnce(&own)
	if o == nil || err != nil {
		return r, err
	}
	return own.WithContext(once.With(r.Context(), o)), nil
}

// markReplayed says in the header that a change of r had been made before.
func markReplayed(h http.Header, o *once.Request) {
	if o != nil && o.Replayed() {
		h.Set(replayedHeader, "true")
	}
}

// answerReplayed answers a change that had been made before, for a function that
// would have rendered the answer and did not run: the page is shown as it is now.
func answerReplayed(w http.ResponseWriter, r *http.Request) {
	markReplayed(w.Header(), once.Of(r.Context()))
	if r.Header.Get("HX-Request") == "true" {
		w.Header().Set("HX-Refresh", "true")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if page := pageOf(r, "Referer"); isLocal(page) && navigates(r) && !answeredForm(page) {
		http.Redirect(w, r, page, http.StatusSeeOther)
		return
	}
	w.WriteHeader(http.StatusNoContent) // a browser stays where it is
}

// answeredForm reports whether a page was itself the answer to a form: it may
// have no other way to be loaded.
func answeredForm(page string) bool {
	u, err := url.Parse(page)
	return err != nil || u.Query().Has(onceField)
}

// navigates reports whether the browser shows the answer to r as a page. Browsers
// say so on https and localhost; elsewhere they ask for HTML.
func navigates(r *http.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return accepts(r, "text/html") && !IsPartial(r)
}

// isSafe reports whether requests with the method must not change anything.
func isSafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}
