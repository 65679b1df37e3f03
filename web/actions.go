package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/bridge"
)

// Actions returns a handler that serves the states named, and no others, as
// JSON:
//
//	GET  .../{module}           the state
//	POST .../{module}/{action}  runs the action with the body as its payload,
//	                            see Payload, and answers with the state
//
// Only the last elements of the path count, so it mounts below any path.
// Fields tagged stay:"private" are left out. Every action of these states can
// be called by every client: what not everybody may do must check
// for itself who calls.
//
// Unknown modules and actions are answered with 404, in development mode with
// the nearest name, other methods with 405, errors as [Error] does. Actions
// panics on a nil state and on two states of one name.
func Actions(states ...stay.AnyState) http.Handler {
	a := &actions{modules: make(map[string]*module)}
	var app bridge.App // none without modules
	for _, state := range states {
		if state == nil {
			panic("web: Actions got a nil state")
		}
		core := bridge.StateOf(state)
		if a.modules[core.Name()] != nil {
			panic(fmt.Sprintf("web: Actions got two states of the name %q", core.Name()))
		}
		a.modules[core.Name()] = &module{core: core, actions: core.Actions()}
		app = bridge.AppOf(state.App())
	}
	a.outside = sync.OnceValue(func() *settings { return outside(app) })
	return a
}

type actions struct {
	modules map[string]*module
	outside func() *settings // of requests that do not come through Sessions
}

type module struct {
	core    bridge.State
	actions []string
}

// ServeHTTP implements http.Handler.
func (a *actions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	cfg := settingsOf(r, a.outside)
	rest, last := cutLast(strings.TrimSuffix(r.URL.Path, "/"))
	_, parent := cutLast(rest)

	read := a.modules[last]
	run := a.modules[parent]
	if run != nil && !slices.Contains(run.actions, last) {
		run = nil
	}
	// A path can name both, where an action is called like a module: the
	// method decides.
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	var v any
	var err error
	var core bridge.State
	switch {
	case read != nil && get:
		core = read.core
		v, err = core.Get(r.Context())
	case run != nil && r.Method == http.MethodPost:
		core = run.core
		p := readPayload(cfg, r)
		if err = p.err; err == nil {
			v, err = core.Do(r.Context(), last, p)
		}
	case run != nil:
		refuseMethod(cfg, w, r, "POST")
		return
	case read != nil:
		refuseMethod(cfg, w, r, "GET, HEAD")
		return
	default:
		err = a.notFound(cfg, parent, last, get)
	}
	var body []byte
	if err == nil {
		body, err = core.Public(v)
	}
	if err != nil {
		fail(cfg, w, r, 0, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", jsonType)
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body)
}

// cutLast cuts the last element off a path.
func cutLast(path string) (rest, last string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// notFound returns the error for a path that names nothing here. Only a
// developer is told what there is.
func (a *actions) notFound(s *settings, parent, last string, get bool) error {
	e := &stay.Error{Code: stay.ErrNotFound}
	if !s.development() {
		return e
	}
	names := make([]string, 0, len(a.modules))
	for name := range a.modules {
		names = append(names, name)
	}
	slices.Sort(names)
	switch m := a.modules[parent]; {
	case m != nil:
		e.Message = fmt.Sprintf("module %q has no action %q%s", parent, last, suggest(last, m.actions))
	case get:
		e.Message = fmt.Sprintf("there is no module %q here%s", last, suggest(last, names))
	default:
		e.Message = fmt.Sprintf("there is no module %q here%s", parent, suggest(parent, names))
	}
	return e
}
