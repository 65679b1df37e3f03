package web

import (
	"context"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/once"
)

// Visits is [Sessions] for servers that have no http.ResponseWriter, such as
// fasthttp and servers for RPC. It returns a function that begins the visit of
// one request. It panics for the same apps and options as Sessions.
//
// The function reads of r the method, the host, the URL, the header, TLS and
// the context; a program that has no http.Request makes one from these. A nil
// URL means the path "/", and the names in the header may be in any case. The
// function keeps only the context of r, so r may use memory that the server
// uses again.
//
// What the comment of Sessions says about cookies, other origins, page loads
// and costs is true here too. The errors are those that Sessions answers with:
// stay.ErrDenied for a request from another origin, stay.ErrConflict for one
// from a page of another login, see [PageValue], and the error of a reset on a
// page load.
// [Status] has the status of each. If r has a session of the App already, the
// outer visit counts.
func Visits(app *stay.App, o *Options) func(r *http.Request) (*Visit, error) {
	s := newSettings(app, o)
	return func(r *http.Request) (*Visit, error) { return newVisit(s, r) }
}

// A Visit is one request of a browser to a server that has no
// http.ResponseWriter; see [Visits]. Its methods may be called concurrently.
type Visit struct {
	context context.Context
	end     func() http.Header // package fmt follows pointers, but not functions
}

// A bareHeader is a ResponseWriter of which only the header is used.
type bareHeader struct{ header http.Header }

func (w *bareHeader) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

func (w *bareHeader) WriteHeader(int) {}

func (w *bareHeader) Write([]byte) (int, error) { return 0, http.ErrNotSupported }

func newVisit(s *settings, r *http.Request) (*Visit, error) {
	r = canonical(r)
	if x := s.exchange(r.Context()); x != nil {
		return &Visit{x.again(r.Context()), func() http.Header { return nil }}, nil
	}
	if err := s.checkOrigin(r); err != nil {
		return nil, err
	}
	https := s.https(r)
	w := &bareHeader{}
	x := &exchange{
		Context: r.Context(), next: w, settings: s, https: https, device: strings.Clone(r.UserAgent()), token: new(string),
		request: &http.Request{Method: strings.Clone(r.Method)}, // for logs
		known:   true,                                           // nothing can be sent past a visit
	}
	cookie, switched := s.cookies(r.Header, https)
	cookie, x.switched = strings.Clone(cookie), switched
	if cookie == "" {
		s.warnOfProxy(r)
	}
	ctx := s.core.Begin(x, s.ring, cookie, x)
	end := func() http.Header {
		x.seal()
		return w.header
	}
	id, err := "", error(nil)
	if !isSafe(r.Method) {
		if id, err = onceID(r); id != "" {
			x.once = once.New(strings.Clone(id), 0)
		}
	}
	if err == nil {
		err = s.arrive(r.WithContext(ctx), cookie)
	}
	if err != nil {
		end()
		return nil, err
	}
	return &Visit{ctx, end}, nil
}

// canonical returns a copy of r with a URL and with the names of the header in
// the form that net/http gives them. Some servers keep names as they were sent:
// a check of the origin that missed a name would let every request pass.
func canonical(r *http.Request) *http.Request {
	r = r.WithContext(r.Context())
	if r.URL == nil {
		r.URL = &url.URL{Path: "/"}
	}
	for name := range r.Header {
		if textproto.CanonicalMIMEHeaderKey(name) == name {
			continue
		}
		header := make(http.Header, len(r.Header))
		for name, values := range r.Header {
			name = textproto.CanonicalMIMEHeaderKey(name)
			header[name] = append(header[name], values...)
		}
		r.Header = header
		break
	}
	return r
}

// Context is the context of the request that began the visit, with the session:
// the context for the methods of states and sessions.
func (v *Visit) Context() context.Context { return v.context }

// End ends the visit. It returns the headers that the response must have:
// Set-Cookie if the browser needs a new cookie, Cache-Control and Vary if the
// session was used, and otherwise nothing. Add each line to those that the
// response has: then shared caches keep no cookie, unless the program has set a
// header for them alone, such as CDN-Cache-Control.
//
// Call it when the handler has ended, also if it failed or panicked: what was
// stored before belongs to the cookie. A stream calls it before its first
// message, since the header goes out with that. Afterwards the session can be
// used if its browser knows it already; what needs a new cookie is an error and
// stores nothing, as after the header of a response behind Sessions.
//
// It may be called again and returns the same header, which
// must not be changed.
func (v *Visit) End() http.Header { return v.end() }
