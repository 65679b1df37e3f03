package web

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/once"
)

// Actions returns a handler that serves the given states, and no others, as
// JSON:
//
//	GET  {mount}/{module}           the state
//	POST {mount}/{module}/{action}  runs the action with the body as its
//	                                payload, see Payload, and answers with the
//	                                state
//	GET  {mount}/                   with "Accept: text/event-stream", as
//	                                EventSource sends it: a stream of all the
//	                                states, see [Live]. Each message has the name
//	                                of the module and its state
//
// Fields tagged stay:"private" are left out. Every client can call every action
// of these states: an action that not everyone may use must itself check who
// calls.
//
// The mount is the route of the handler, up to the wildcard that takes the rest
// of the path:
//
//	mux.Handle("/state/", web.Actions(cart))      // of http.ServeMux
//	mux.Handle("/state/{rest...}", web.Actions(cart))
//	router.Mount("/state", web.Actions(cart))     // of chi
//	http.StripPrefix("/state", web.Actions(cart)) // everywhere else
//
// Actions finds it in Request.Pattern. Under routers that do not set that, and
// if the mount should be shorter than the route, cut it off with
// http.StripPrefix. A route for whole paths, such as "POST /state/cart/add" or
// "GET /state/{module}", names the module, and the action, with its last
// elements; before the module it must have no wildcard. No other path leads to
// an action, so a route, a middleware or a proxy can guard the actions of some
// modules: nothing may stand before, between or after module and action, not
// even a slash at the end, and nothing may be encoded that need not be.
//
// Any other path is answered with 404 (in development mode with the nearest
// name), other methods with 405, and errors as [Error] answers them. There is no
// stream of more than 32 states, and none of states of two Apps. A module whose
// states are streamed should not be named error, open or stop: clients give these
// names of messages a meaning of their own. Actions panics on a nil state and on
// two states of one name.
func Actions(states ...stay.AnyState) http.Handler {
	a := &actions{modules: make(map[string]*module)}
	var app access.App // nil if there are no states
	for _, state := range states {
		if state == nil {
			panic("web: Actions got a nil state")
		}
		core := access.StateOf(state)
		if a.modules[core.Name()] != nil {
			panic(fmt.Sprintf("web: Actions got two states named %q", core.Name()))
		}
		a.modules[core.Name()] = &module{core: core, actions: core.Actions()}
		app = access.AppOf(state.App())
	}
	a.outside = sync.OnceValue(func() *settings { return outside(app) })
	a.live = liveJSON(states)
	return a
}

// liveJSON returns the stream of the states, nil if there cannot be one.
func liveJSON(states []stay.AnyState) *live {
	if len(states) == 0 || len(states) > maxParts {
		return nil
	}
	parts := make([]LivePart, 0, len(states))
	for _, state := range states {
		if state.App() != states[0].App() {
			return nil
		}
		core := access.StateOf(state)
		parts = append(parts, LivePart{
			id: core.Name(), app: state.App(), core: core, data: true,
			render: func(w io.Writer, _ *http.Request, v any) error {
				b, err := core.Public(v)
				if err == nil {
					_, err = w.Write(b)
				}
				return err
			},
		})
	}
	return newLive(parts)
}

type actions struct {
	modules map[string]*module
	outside func() *settings // for requests that do not come through Sessions
	live    *live            // the stream of all states; nil: there is none
}

type module struct {
	core    access.State
	actions []string
}

// ServeHTTP implements http.Handler.
func (a *actions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.live != nil && (r.Method == http.MethodGet || r.Method == http.MethodHead) && accepts(r, "text/event-stream") && atMount(r) {
		a.live.ServeHTTP(w, r)
		return
	}
	a.serve(w, r)
}

func (a *actions) serve(w http.ResponseWriter, r *http.Request) {
	w = through(w, r)
	cfg := settingsOf(r, a.outside)
	defer cfg.answerPanic(w, r)
	name, action := a.find(r)
	var v any
	var err error
	m := a.modules[name]
	switch {
	case m == nil:
		err = a.notFound(cfg, r)
	case action == "" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		v, err = m.core.Get(r.Context())
	case action == "":
		refuseMethod(cfg, w, r, "GET, HEAD")
		return
	case r.Method == http.MethodPost:
		if r, err = cfg.named(r); err != nil {
			break
		}
		p := readPayload(cfg, r, false)
		if err = p.err; err == nil {
			v, err = m.core.Do(r.Context(), action, p)
		}
	default:
		refuseMethod(cfg, w, r, "POST")
		return
	}
	var body []byte
	if err == nil {
		body, err = m.core.Public(v)
	}
	if err != nil {
		fail(cfg, w, r, 0, err)
		return
	}
	h := w.Header()
	markReplayed(h, once.Of(r.Context()))
	h.Set("Content-Type", jsonType)
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body)
}

// find returns the module, and the action if there is one, that the path of r
// names. If the path names none, module is "".
func (a *actions) find(r *http.Request) (module, action string) {
	rest, last := left(r)
	module, action, more := strings.Cut(rest, "/")
	switch m := a.modules[module]; {
	case m == nil && a.modules[last] != nil:
		return last, ""
	case m == nil || more && !slices.Contains(m.actions, action):
		return "", ""
	}
	return module, action
}

// notFound returns the error for a path that names nothing here. The names that
// exist are only for a developer.
func (a *actions) notFound(s *settings, r *http.Request) error {
	e := &stay.Error{Code: stay.ErrNotFound}
	if !s.development() {
		return e
	}
	names := make([]string, 0, len(a.modules))
	for name := range a.modules {
		names = append(names, name)
	}
	slices.Sort(names)
	rest, _ := left(r)
	module, action, _ := strings.Cut(rest, "/")
	switch m := a.modules[module]; {
	case strings.Contains(action, "/") || strings.HasSuffix(rest, "/"):
		e.Message = fmt.Sprintf("after the route of web.Actions the path must be a module, or a module and an action, but it is %q: if the router does not set Request.Pattern, use http.StripPrefix", rest)
	case m != nil:
		e.Message = fmt.Sprintf("module %q has no action %q%s", module, action, suggest(action, m.actions))
	default:
		e.Message = fmt.Sprintf("there is no module %q here%s", module, suggest(module, names))
	}
	return e
}
