package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
)

// PartOf is [Part] for what several states show together, such as how many
// messages of a room a user has not read. fn reads them with [Look], and is called
// again, for each stream, when one of them has changed. Which states these are may
// depend on the request and on what is in others:
//
//	web.PartOf(app, "unread", func(w io.Writer, r *http.Request) error {
//		room, err := web.Look(r.Context(), rooms.At(r.PathValue("room")))
//		if err != nil {
//			return err
//		}
//		seen, err := web.Look(r.Context(), seen)
//		...
//
// The states are committed, each is the newest, and two of them may be of different
// moments: what follows is never late, since a change after a look calls fn once
// more. What fn does not Look at does not call it.
//
// fn decides who may see the part, each time. The stream ends with the session that
// its request has brought, and when that gets another user. If fn returns an error
// that waiting cannot change, such as stay.ErrDenied, the stream ends, and the
// client that comes back gets it as the answer, as [Error] has it. Any other error
// leaves the part of the page as it is, see [Live].
//
// fn is called by one goroutine at a time for each stream, and may be called for
// several of them concurrently. The request is that of the beginning, as for
// [PartFor]. PartOf panics if app or fn is nil, and as Part does on the id.
func PartOf(app *stay.App, id string, fn func(w io.Writer, r *http.Request) error) LivePart {
	if app == nil || fn == nil {
		panic("web: PartOf needs an App and a function")
	}
	checkPart("PartOf", id)
	return LivePart{
		id: id, app: app, own: true, looks: true,
		render: func(w io.Writer, r *http.Request, _ any) error { return fn(w, r) },
	}
}

// Look returns a copy of the committed state, which the caller owns. With the
// context of the request of a [PartOf], it also follows the state: the part is made
// again when it has changed. With any other context, and after the function of the
// part has returned, it is a Get: so one function can make the part for the page
// and for its stream.
//
// The state of a key that has none is the initial one, also with At, and so is the
// state of a session that is over. Other errors are those of Get.
func Look[S any](ctx context.Context, state *stay.State[S]) (*S, error) {
	if l, _ := ctx.Value(looksKey{}).(*looks); l != nil && l.stream.live.parts[0].app == state.App() {
		if v, ok, err := l.look(access.StateOf(state)); ok || err != nil {
			s, _ := v.(*S)
			return s, err
		}
	}
	s, err := state.Get(ctx)
	if !errors.Is(err, stay.ErrNotFound) {
		return s, err
	}
	v, err := access.StateOf(state).Initial(ctx)
	if err != nil {
		return nil, err
	}
	return v.(*S), nil
}

// looks are those of the function of one part in one stream. It is the context of
// the function's request.
type looks struct {
	context.Context
	stream  *stream
	request *http.Request

	mu      sync.Mutex // the function may look in goroutines of its own
	running bool
	seen    []seenState // by the last run
	wrong   error       // the first look of it that has failed
	gone    bool        // the session was over when the stream began

	err   error     // of the last run
	again time.Time // when it is made again after an error, if nothing has changed
}

// A seenState is a version of a state.
type seenState struct {
	core    access.State
	version access.Version // zero: it could not be read
}

type looksKey struct{}

func (s *stream) newLooks() *looks {
	l := &looks{Context: s.r.Context(), stream: s}
	l.request = s.r.WithContext(l)
	return l
}

// Value implements context.Context.
func (l *looks) Value(key any) any {
	if key == (looksKey{}) {
		return l
	}
	return l.Context.Value(key)
}

// look returns a copy of a state, and remembers what it was. It reports false if
// the function has returned.
func (l *looks) look(core access.State) (v any, ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.running {
		return nil, false, nil
	}
	sight, err := l.stream.follower.Look(core)
	if errors.Is(err, stay.ErrEnded) && !l.stream.opened {
		l.gone = true
		sight.Value, err = core.Initial(l.Context)
		return sight.Value, true, err
	}
	l.saw(core, sight.Version)
	if err != nil {
		if l.wrong == nil || errors.Is(err, stay.ErrEnded) {
			l.wrong = err
		}
		return nil, true, err
	}
	return core.Clone(sight.Value), true, nil
}

// saw notes what a state was. Two ways to one state may lead to different ones later.
func (l *looks) saw(core access.State, version access.Version) {
	if is := (seenState{core, version}); !slices.Contains(l.seen, is) {
		l.seen = append(l.seen, is)
	}
}

// same reports whether all that the last run has seen is still so.
func (l *looks) same() bool {
	if l.err == nil && l.wrong != nil {
		return false // it has shown something without what it did not see
	}
	for _, s := range l.seen {
		if now, err := l.stream.follower.Look(s.core); errors.Is(err, stay.ErrEnded) || now.Version != s.version {
			return false
		}
	}
	return true
}

// run makes the part, if it may be different from the last time: then it returns
// neither a rendering nor an error. first says that an error is a new one.
func (l *looks) run(i int) (r *rendering, first bool, err error) {
	s := l.stream
	was := l.err
	if s.opened && l.same() {
		if was == nil || l.again.After(time.Now()) {
			return nil, false, was
		}
	} else {
		was = nil
	}
	l.begin()
	r = new(rendering)
	s.live.parts[i].fill(r, s.settings, l.request, s.dialect, nil)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running, l.err = false, r.err
	switch {
	case errors.Is(l.wrong, stay.ErrEnded):
		return nil, false, l.wrong // whatever the function has made of it
	case r.err != nil:
		l.again = time.Now().Add(s.settings.live.Heartbeat)
		return nil, was == nil, r.err
	}
	s.retry = s.retry || l.wrong != nil
	return r, false, nil
}

func (l *looks) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.seen)
	l.running, l.seen, l.wrong = true, l.seen[:0], nil
}

// failed reports whether the last run may have seen less than the part shows.
func (l *looks) failed() bool { return l.err != nil || l.wrong != nil }

// private reports whether the last run has seen the state of a session.
func (l *looks) private() bool {
	return l.gone || slices.ContainsFunc(l.seen, func(s seenState) bool { return !s.core.Shared() })
}
