package web

import (
	"net/http"

	"github.com/stay-go/stay"
)

// Sessions returns a middleware that gives every request the session of its
// browser. It panics if app is nil and on options that make no sense; nil
// options mean the defaults.
//
// The session costs nothing until it is used. If a handler does not touch state
// of a session and does not ask for its ID, nothing is looked up, stored or
// sent. At first use the response gets the session cookie, so the first use
// must come before the header of the response is written; afterwards it is an
// error and stores nothing. A response that used session state, or a method of
// the session, is marked "Cache-Control: private, no-store", unless the handler
// set Cache-Control, and "Vary: Cookie". If it sets the session's cookie,
// shared caches may not keep it, even if the handler allows it: a Cache-Control
// that lets them is replaced, which is logged once.
//
// The cookie is HttpOnly, SameSite=Lax (but for [Options].Embedded) and valid
// for the whole site; see [Secure] for its name on http and https. A cookie
// that is forged, altered, expired, malformed or too long counts as no cookie:
// the request begins a new session. Of several cookies of that name the valid
// one counts, and of several valid ones of one session the latest. If they name
// several sessions, someone may have planted one: then the request has no
// session, as if its session had ended, and no cookie is set. The content of a
// cookie is never stored or logged, only a hash of the session's id.
//
// Requests from other origins that could change anything, or that begin a
// WebSocket, are answered with 403 before the handler runs; see
// [Options].CrossOrigin. A default port in Host, as in shop.test:80, makes no
// other origin.
//
// If the App has modules with ResetOnPageLoad, a request that loads a page
// resets their states before the handler runs, whether or not the handler uses
// them. A page load is a GET with which the browser goes to a page (typed
// address, link, reload, form, the redirect after one), or with which htmx
// replaces the whole page (boosted links and forms, a page restored from the
// history). Other requests of htmx and Datastar, fetch, iframes, prefetched and
// prerendered pages, and HEAD do not count. Pages from the browser's own cache,
// as after Back, send no request and reset nothing. If a state cannot be reset,
// the request is answered with the error, as by [Error].
//
// Sessions may stand inside and outside of other middleware. If it stands twice
// for one App, the outer one counts, also if that of another App stands in
// between. Handlers behind it may use Flush, Hijack, ReadFrom and
// http.ResponseController as without it.
//
// A session is lost if its first cookie does not reach the browser. So the log
// has an error, which says how to fix it, if a connection is taken over while a
// cookie waits to be sent: pass w.Header() to a WebSocket upgrader that writes
// its own answer. The log also has an error if a response was written to
// another ResponseWriter than the one that Sessions gives to the next handler,
// as far as the other one, or one that it unwraps to, shows that. A first use
// after such a response is an error and stores nothing. View, Update, Do,
// Handle, Actions and Error answer through Sessions also if they are given the
// ResponseWriter in front of it.
//
// The handler gets a copy of the request. When the handler has ended, in any
// way, Sessions removes the files of a form that the handler has parsed, and
// copies Pattern, its path values and parsed forms back to its own request.
// This does not work if an inner middleware copies the request again, with
// Request.WithContext or as http.TimeoutHandler does. Behind such a middleware
// View, Update, Do and Handle still remove their files, but a plain handler has
// to call r.MultipartForm.RemoveAll, as it has to without Sessions, or stand
// behind Sessions again.
func Sessions(app *stay.App, o *Options) func(http.Handler) http.Handler {
	s := newSettings(app, o)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.serve(next, w, r)
		})
	}
}

func (s *settings) serve(next http.Handler, w http.ResponseWriter, r *http.Request) {
	if x := s.exchange(r.Context()); x != nil {
		x.serveAgain(next, w, r)
		return
	}
	if err := s.checkOrigin(r); err != nil {
		fail(s, w, r, 0, err)
		return
	}
	s.streams.servers.Meet(r)
	all, cookie := s.begin(w, r)
	// Also after a panic: the answer then still carries the cookie of a session
	// that was stored, and nothing is issued once the request is over.
	defer all.end(r)
	x := &all.exchange
	r = &all.request
	var err error
	if x.once, err = s.requestOnce(r); err == nil {
		err = s.arrive(r, cookie)
	}
	if err != nil {
		fail(s, x, r, 0, err)
		return
	}
	next.ServeHTTP(x, r)
	all.returned = true
}

// begin makes the exchange of a request and returns the cookie that it brought.
func (s *settings) begin(w http.ResponseWriter, r *http.Request) (all *exchanging, cookie string) {
	https := s.https(r)
	cookie, switched := s.cookies(r.Header, https)
	if cookie == "" {
		s.warnOfProxy(r)
	}
	all = new(exchanging)
	x := &all.exchange
	x.Context, x.next, x.settings, x.https = r.Context(), w, s, https
	x.token, x.request, x.device = &all.token, &all.request, first(r.Header, "User-Agent")
	x.known, x.switched = cookie != "", switched
	x.strange = cookie == "" && s.development() && s.isStranger(r)
	all.request = *r.WithContext(s.core.Begin(x, s.ring, cookie, x))
	return all, cookie
}

// serveAgain serves a request that an outer Sessions of the App has met.
func (x *exchange) serveAgain(next http.Handler, w http.ResponseWriter, r *http.Request) {
	run := r
	if exchangeOf(r.Context()) != x {
		run = r.WithContext(x.again(r.Context()))
		defer handBack(run, r)
	}
	defer removeFiles(run, run.MultipartForm) // run may be a copy that nobody else knows
	next.ServeHTTP(w, run)
}

// arrive does what a request brings about before its handler runs. r has the
// context of its session, and cookie is the one that it brought.
func (s *settings) arrive(r *http.Request, cookie string) error {
	if err := s.checkPageHeader(r); err != nil {
		return err
	}
	if cookie == "" || !s.core.ResetsOnPageLoad() || !isPageLoad(r) {
		return nil
	}
	return s.core.PageLoad(r.Context())
}
