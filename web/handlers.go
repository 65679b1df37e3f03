package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/once"
)

// View returns a handler that renders the committed state: it waits for no
// change under way and delays none. s belongs to fn. If fn changes it, the
// change is dropped, and reported in the log in development mode.
//
// The response is buffered, up to Options.MaxResponse. If fn returns an error,
// the client gets the answer that [Error] writes and nothing that fn wrote.
// View serves every method that the router lets through. fn can read
// Options.MaxBody of the body, as in [Handle].
func View[S any](state *stay.State[S], fn func(w http.ResponseWriter, r *http.Request, s *S) error) http.HandlerFunc {
	core, mounted := mount("View", state, fn == nil)
	return func(w http.ResponseWriter, r *http.Request) {
		w = through(w, r)
		cfg := settingsOf(r, mounted)
		defer cfg.answerPanic(w, r)
		r = cfg.inDevelopment(r)
		if err := cfg.announced(r); err != nil {
			fail(cfg, w, r, 0, err)
			return
		}
		v, err := core.Get(r.Context())
		if err != nil {
			fail(cfg, w, r, 0, err)
			return
		}
		cfg.render(w, func(rec *recorder) error {
			if cfg.development() {
				defer reportChange(cfg, core, v)()
			}
			return fn(rec, r, v.(*S))
		}, r)
	}
}

// Do returns a handler that runs an action with the body of the request as its
// payload, see [Payload], and then renders the committed state with view. Use
// it for actions that change the owner of the state, such as a login: view sees
// the state that the action led to.
//
// Do panics when the module has no such action. GET, HEAD, OPTIONS and TRACE
// are answered with 405, because an action changes state. If the action fails,
// nothing has changed and view does not run. If view fails, the change stays
// made. Both errors are answered as [Error] does.
func Do[S any](state *stay.State[S], action string, view func(w http.ResponseWriter, r *http.Request, s *S) error) http.HandlerFunc {
	core, mounted := mount("Do", state, view == nil)
	if known := core.Actions(); !slices.Contains(known, action) {
		have := "it has none"
		if len(known) > 0 {
			have = "it has " + strings.Join(known, ", ")
		}
		panic(fmt.Sprintf("web: Do: module %q has no action %q; %s", core.Name(), action, have))
	}
	return func(w http.ResponseWriter, r *http.Request) {
		w = through(w, r)
		cfg := settingsOf(r, mounted)
		defer cfg.answerPanic(w, r)
		r = cfg.inDevelopment(r)
		if refuseSafe(cfg, w, r) {
			return
		}
		r, err := cfg.named(r)
		if err != nil {
			fail(cfg, w, r, 0, err)
			return
		}
		p := readPayload(cfg, r, false)
		if p.err != nil {
			fail(cfg, w, r, 0, p.err)
			return
		}
		v, err := core.Do(r.Context(), action, p)
		if err != nil {
			fail(cfg, w, r, 0, err)
			return
		}
		cfg.render(w, func(rec *recorder) error { return view(rec, r, v.(*S)) }, r)
	}
}

// Update returns a handler that changes state and renders it in one
// transaction: everything that fn does to s is committed, or nothing is, and
// the response is sent when the change is durable.
//
// fn may run more than once, after a conflict with another change. Each run
// gets a fresh request and response, and the output of the last one is sent. So
// fn must have no effects other than those on s and on the response. If it
// returns an error or panics, nothing changes; a panic with
// http.ErrAbortHandler is not reported as a failure. fn runs while it holds the
// state, so it should be quick. Inside it other states can be read with the
// request's context, but not changed (stay.ErrNested).
//
// A run that changes the state's key, as a login does, may answer only with a
// redirect or without a body, because it has not rendered the state that is
// stored under the key. Otherwise nothing is committed and the answer is 500;
// use [Do] there.
//
// The whole body is read before fn runs: stay.ErrTooLarge if it is longer than
// Options.MaxBody, stay.ErrMalformed if it breaks off. The response is
// buffered, up to Options.MaxResponse; beyond that, nothing is committed and
// the answer is 500. Flush sends nothing yet, and is no error; Hijack and
// deadlines are http.ErrNotSupported. Errors are answered as [Error] does. GET,
// HEAD, OPTIONS and TRACE are answered with 405; use [View] for those.
func Update[S any](state *stay.State[S], fn func(w http.ResponseWriter, r *http.Request, s *S) error) http.HandlerFunc {
	core, mounted := mount("Update", state, fn == nil)
	return func(w http.ResponseWriter, r *http.Request) {
		w = through(w, r)
		cfg := settingsOf(r, mounted)
		defer cfg.answerPanic(w, r)
		r = cfg.inDevelopment(r)
		if refuseSafe(cfg, w, r) {
			return
		}
		r, err := cfg.named(r)
		var body []byte
		if err == nil {
			body, err = readBody(cfg, r)
		}
		if err == nil {
			err = cfg.checkPageBody(r, body)
		}
		if err != nil {
			fail(cfg, w, r, 0, err)
			return
		}
		u := &updating[S]{first: newRecorder(w, cfg), request: r, body: body, name: core.Name(), fn: fn} // one allocation for all
		u.recorder = &u.first
		defer func() { u.recorder.drop() }()
		if _, err = core.Update(r.Context(), u); err != nil {
			u.recorder.drop()
			if errors.Is(err, errAborted) {
				panic(http.ErrAbortHandler)
			}
			fail(cfg, w, r, 0, err)
			return
		}
		if u.replayed {
			u.recorder.drop()
			answerReplayed(w, r)
			return
		}
		handBack(u.run, r)
		cfg.warnCommitted(r, u.name, u.recorder.status)
		u.recorder.send()
	}
}

// updating is the change that Update makes.
type updating[S any] struct {
	recorder *recorder // of the last run
	first    recorder
	request  *http.Request
	run      *http.Request // of the last run; nil: none
	firstRun http.Request
	within   access.Run // the context of firstRun
	body     []byte
	replayed bool // the change was made before
	name     string
	fn       func(http.ResponseWriter, *http.Request, *S) error
}

// Run implements access.Change.
func (u *updating[S]) Run(ctx context.Context, v any) (err error) {
	u.replayed = false
	run, within := &u.firstRun, &u.within
	if u.run != nil {
		u.recorder, run, within = u.recorder.again(), new(http.Request), new(access.Run)
	}
	u.run, within.Context = run, ctx
	defer within.End()
	fresh(within, run, u.request, u.body)
	defer removeFiles(run, u.request.MultipartForm)
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler: // nothing has failed, so nothing is reported
			err = errAborted
		default:
			panic(p)
		}
	}()
	if err := u.fn(u.recorder, run, v.(*S)); err != nil {
		return err
	}
	return u.recorder.err()
}

// errAborted is the error of a run that panicked with http.ErrAbortHandler,
// with which a handler gives up its answer.
var errAborted = errors.New("web: the function aborted the response")

// Replayed implements access.Change.
func (u *updating[S]) Replayed() { u.replayed = true }

// Moving implements access.Change.
func (u *updating[S]) Moving() error { return u.recorder.moved(u.name) }

// Handle returns a handler that may fail. The output of fn is buffered, up to
// Options.MaxResponse. If fn returns an error, the client gets the answer that
// [Error] writes and nothing that fn wrote. Changes of state that fn made
// before it failed stay made.
//
// Nothing is sent before fn returns, so fn cannot stream. Flush is no error and
// sends nothing yet, so a library for event streams, such as Datastar's, can
// answer with a few events; a long stream needs a plain handler. Hijack and
// deadlines are http.ErrNotSupported, and informational statuses, such as 103,
// are dropped. Trailers are sent.
//
// A body that is longer than Options.MaxBody is stay.ErrTooLarge: before fn
// runs if the request says so, otherwise when fn has read that much of it, also
// with r.FormValue and similar methods. Then the answer is 413, whether or not
// fn returns an error. When fn returns, the files of a form that it has parsed
// are removed. For larger uploads use a plain handler with its own limit.
func Handle(fn func(w http.ResponseWriter, r *http.Request) error) http.HandlerFunc {
	if fn == nil {
		panic("web: Handle needs a function")
	}
	return func(w http.ResponseWriter, r *http.Request) {
		w = through(w, r)
		cfg := settingsOf(r, unknownApp)
		defer cfg.answerPanic(w, r)
		err := cfg.announced(r)
		if err == nil {
			r, err = cfg.named(r)
		}
		if err != nil {
			fail(cfg, w, r, 0, err)
			return
		}
		cfg.render(w, func(rec *recorder) error { return fn(rec, r) }, r)
	}
}

// render sends what fn wrote, or its error.
func (s *settings) render(w http.ResponseWriter, fn func(*recorder) error, r *http.Request) {
	rec := newRecorder(w, s)
	defer rec.drop()
	b := s.bound(r)
	defer b.end()
	err := b.err(fn(&rec))
	b.end()
	if long := rec.err(); long != nil {
		err = long
	}
	if err != nil {
		rec.drop()
		fail(s, w, r, 0, err)
		return
	}
	markReplayed(w.Header(), once.Of(r.Context()))
	rec.send()
}

// mount returns the core of a state and its settings for requests that do not
// come through Sessions.
func mount[S any](what string, state *stay.State[S], noFunc bool) (access.State, func() *settings) {
	if state == nil || noFunc {
		panic("web: " + what + " needs a State, which stay.Register returns, and a function")
	}
	app := access.AppOf(state.App())
	return access.StateOf(state), sync.OnceValue(func() *settings { return outside(app) })
}

// refuseSafe answers requests with a method that must not change anything.
func refuseSafe(s *settings, w http.ResponseWriter, r *http.Request) bool {
	if isSafe(r.Method) {
		refuseMethod(s, w, r, "POST, PUT, PATCH, DELETE")
		return true
	}
	return false
}

// fresh makes run the request r for one run: with the run's context, the body
// unread, and no form parsed except what was there before the first run. Path
// values and everything else are as in r.
func fresh(ctx context.Context, run, r *http.Request, body []byte) {
	*run = *r.WithContext(ctx)
	run.Body = reopen(body)
	run.Form = cloneValues(r.Form)
	run.PostForm = cloneValues(r.PostForm)
}

func cloneValues(v url.Values) url.Values { return url.Values(http.Header(v).Clone()) }

// reportChange returns a function that warns if a view has changed the value
// that it renders.
func reportChange(s *settings, core access.State, v any) func() {
	before, err := core.Public(v)
	return func() {
		after, err2 := core.Public(v)
		if err == nil && err2 == nil && !bytes.Equal(before, after) {
			s.logger().Warn("stay: a view changed the state it renders, which has no effect: use web.Update", "module", core.Name())
		}
	}
}
