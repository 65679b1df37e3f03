// Package inspect shows what an App has, to the people who run it: its modules,
// what memory holds, states as JSON, sessions and users, recent failures and how
// long the store takes. It is a handler of pages that are up to date while somebody
// looks at them, and work without JavaScript:
//
//	mux.Handle("/debug/stay/", inspect.Handler(app, isAdmin, nil))
//
// It reads unless [Options].AllowChanges is set, and it never shows the fields
// tagged `stay:"private"`, cookies, signing keys, or ids of sessions, which it
// names as the log does: by a hash. Whoever may see it sees all other fields of
// all states, and the names of users: decide about that as about access to the
// database.
package inspect

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/loglimit"
	"github.com/stay-go/stay/internal/origin"
	"github.com/stay-go/stay/internal/sse"
)

// Options change what [Handler] does. The zero value and nil mean the defaults.
// Handler copies them.
type Options struct {
	// AllowChanges lets visitors end a session, and sign a user out everywhere.
	// Each change is logged, with hashes in place of names. By default the pages
	// only show, and every request that could change something is answered with
	// 405.
	AllowChanges bool
}

// Handler returns the pages of an App. It is mounted with a pattern that ends with
// a slash, at any path, with or without http.StripPrefix, inside or outside of
// web.Sessions. allow is asked about each request; if it returns false, the
// answer is 404, as if there was nothing. It may be called concurrently. Handler
// panics if app or allow is nil: nobody sees the pages by accident.
//
// The pages are about one process: its memory, its calls of the store, its
// failures since Handler was called. What is stored is that of all processes.
// Links to states, sessions and users are sealed, and good in this process only,
// until it ends: if several processes answer behind one address, use the address
// of one of them.
//
// A page never takes states into memory, and lists are read page by page. Numbers
// of stored states are counted up to 1000. If the store does not answer, a page
// says so after two seconds at most, and shows the rest. From the call of Handler on the
// App counts its changes and measures its calls of the store, which costs less
// than a microsecond each.
//
// Pages are live: a stream makes a page again every two to five seconds, and sends
// what is different. allow is asked again before each look, with the request that
// began the stream, and when its session is over; if it returns false, or the session
// of that request has ended, the stream ends. There are 32 streams at most. They
// last about ten minutes, and end when the App is closed and when their http.Server
// begins to shut down. A middleware around Handler must not hold them back, as for
// web.Live. Without JavaScript a page stays as it is.
//
// Posts and streams from other origins are refused as web.Sessions does. The pages
// have a Content-Security-Policy that allows their own style sheet, script, forms and
// streams and nothing else, cannot be framed, and are not kept by caches.
func Handler(app *stay.App, allow func(*http.Request) bool, o *Options) http.Handler {
	if app == nil {
		panic("inspect.Handler needs an App: make one with stay.New")
	}
	if allow == nil {
		panic("inspect.Handler needs a function that says who may see the pages, such as func(r *http.Request) bool { return stay.SessionFrom(r.Context()).User() == \"admin\" }")
	}
	if o == nil {
		o = &Options{}
	}
	core, door := access.Inspect(app), access.AppOf(app)
	return &handler{
		app: app, core: core, door: door, log: door.Logger(), now: door.Now,
		allow: allow, changes: o.AllowChanges, recent: core.Recent(), refs: newRefs(),
		origins: http.NewCrossOriginProtection(), counting: make(chan struct{}, 1),
		places: make(chan struct{}, mostStreams), sharing: make(chan struct{}, 1), shared: map[string]sight{},
	}
}

type handler struct {
	app     *stay.App
	core    access.Inspected
	door    access.App
	log     *slog.Logger
	now     func() time.Time
	allow   func(*http.Request) bool
	changes bool
	recent  recentLog
	refs    *refs
	origins *http.CrossOriginProtection

	refusals loglimit.Limit
	counting chan struct{} // held by who counts, and reads counts
	counts   counts

	servers sse.Servers
	places  chan struct{}    // held by streams
	sharing chan struct{}    // held by who reads or makes shared
	shared  map[string]sight // pages that are the same for everybody
}

// The bounds of what a page waits for, and of what a change does.
const (
	timeout       = 2 * time.Second
	changeTimeout = 10 * time.Second
)

// maxForm bounds the body of a post: a form has one sealed name.
const maxForm = 16 << 10

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.allow(r) {
		http.NotFound(w, r)
		return
	}
	h.servers.Meet(r)
	head := w.Header()
	head.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "same-origin") // with no-referrer a form would come from the origin null
	head.Set("Cross-Origin-Opener-Policy", "same-origin")
	head.Set("Cross-Origin-Resource-Policy", "same-origin")
	head.Set("X-Robots-Tag", "noindex")
	head.Set("Cache-Control", "no-store")

	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	if r.Method == http.MethodGet && r.Header.Get("Accept") == "text/event-stream" {
		h.stream(w, r, name)
		return
	}
	bound := timeout
	if r.Method == http.MethodPost {
		bound = changeTimeout
	}
	ctx, cancel := context.WithTimeout(r.Context(), bound)
	defer cancel()
	r = r.WithContext(ctx)
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if asset, ok := assets[name]; ok {
			head.Set("Content-Type", asset.kind)
			head.Set("Cache-Control", "private, max-age=300")
			_, _ = w.Write(asset.data)
			return
		}
		kind, ok := pages[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		p := kind.show(h, r)
		p.Live = kind.pace > 0 && (p.status == 0 || p.status >= 500) && r.URL.Query().Get("q") == ""
		h.send(w, r, p)
	case http.MethodPost:
		h.change(w, r, name)
	default:
		h.refuseMethod(w)
	}
}

func (h *handler) refuseMethod(w http.ResponseWriter) {
	allowed := "GET, HEAD"
	if h.changes {
		allowed += ", POST"
	}
	w.Header().Set("Allow", allowed)
	http.Error(w, "405 method not allowed", http.StatusMethodNotAllowed)
}

// change carries out a post, and sends the visitor back to a page.
func (h *handler) change(w http.ResponseWriter, r *http.Request, name string) {
	do, ok := posts[name]
	if !h.changes || !ok {
		h.refuseMethod(w)
		return
	}
	if err := origin.Check(h.origins, r); err != nil {
		if ok, _ := h.refusals.Take(time.Now()); ok {
			h.log.WarnContext(r.Context(), "stay: a change from another origin was refused by the inspector", "error", err)
		}
		http.Error(w, "403 this request came from another site", http.StatusForbidden)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "400 the form cannot be read", http.StatusBadRequest)
		return
	}
	to, failed := do(h, r)
	if failed != nil {
		h.send(w, r, failed)
		return
	}
	// A relative address is right behind http.StripPrefix, too.
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// send writes a page.
func (h *handler) send(w http.ResponseWriter, r *http.Request, p *page) {
	query := r.URL.Query()
	p.Changes, p.Notice, p.Refresh = h.changes, notices[query.Get("done")], query.Has("refresh")
	query.Del("done")
	query.Set("refresh", "")
	p.Refreshing = encode(query)
	query.Del("refresh")
	p.Still = encode(query)
	var b bytes.Buffer
	if err := p.render(&b); err != nil { // a mistake in a template
		h.log.ErrorContext(r.Context(), "stay: a page of the inspector cannot be rendered", "error", err)
		http.Error(w, "500 the page cannot be rendered", http.StatusInternalServerError)
		return
	}
	head := w.Header()
	head.Set("Content-Type", "text/html; charset=utf-8")
	if p.status != 0 {
		w.WriteHeader(p.status)
	}
	_, _ = w.Write(b.Bytes())
}
