package faults_test

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/tests/internal/sessionid"
)

// A worker does what visitors do, one thing after another.
type worker struct {
	*world
	id     int
	n      int
	random *rand.Rand
	may    map[stay.Code]bool // the errors that the weather explains
}

func (w *worker) word() string {
	w.n++
	return fmt.Sprintf("%d.%d", w.id, w.n)
}

// explain fails on an error that nothing accounts for.
func (w *worker) explain(what string, err error) {
	code := stay.CodeOf(err)
	if err == nil || code == stay.ErrEnded {
		return
	}
	w.failures.Add(1)
	if !w.may[code] {
		w.t.Errorf("%s: %v", what, err)
	}
}

func (w *worker) turn() {
	w.clock.jump(w.random)
	n := w.nodes[w.random.IntN(len(w.nodes))]
	b := w.browsers[w.random.IntN(len(w.browsers))]
	switch k := w.random.IntN(100); {
	case k < 60:
		w.append(n, b)
	case k < 80:
		w.read(n, b)
	case k < 84:
		w.renew(n, b)
	case k < 86:
		w.destroy(n, b)
	case k < 88:
		b.set(b.get(), "")
	default:
		w.login(n, b)
	}
}

// state picks the one to work on, and the name of its account, "" if that is
// known in a request only.
func (w *worker) state(n *node) (s *stay.State[List], account string) {
	switch k := w.random.IntN(8); {
	case k < 3:
		return n.mine, ""
	case k < 5:
		return n.ours, ""
	case k < 7 || n.soon == nil:
		return n.all, "all"
	}
	return n.soon, "soon"
}

func (w *worker) append(n *node, b *browser) {
	s, account := w.state(n)
	w.appendTo(n, b, s, account)
}

func (w *worker) appendTo(n *node, b *browser, s *stay.State[List], account string) {
	word, began, cookie := w.word(), w.tick(), b.get()
	var err error
	next := w.request(n, cookie, func(ctx context.Context) {
		session := stay.SessionFrom(ctx)
		before := session.User()
		if s == n.ours && before == "" {
			account = "none"
			return
		}
		_, err = s.Update(ctx, func(l *List) error { l.Items = append(l.Items, word); return nil })
		switch {
		case s == n.ours && session.User() == before:
			account = "ours/" + before
		case s == n.ours:
			// Whose it was cannot be told any more.
			w.note("ours/"+before, word, stay.ErrUnknown, began)
		}
	})
	b.set(cookie, next)
	if s == n.mine && next != "" {
		account = "mine/" + sessionid.Of(next)
	}
	if account == "none" {
		w.login(n, b)
		return
	}
	w.explain("append to "+account, err)
	if account != "" {
		w.note(account, word, stay.CodeOf(err), began)
	} else if err == nil && s == n.mine {
		w.t.Error("a session's state was changed, and the session has no ID")
	}
	if stay.CodeOf(err) == stay.ErrEnded {
		b.set(cookie, "")
	}
}

// read shows nothing older than what was acknowledged before.
func (w *worker) read(n *node, b *browser) {
	s, account := w.state(n)
	var must []string
	w.request(n, b.get(), func(ctx context.Context) {
		session := stay.SessionFrom(ctx)
		switch s {
		case n.mine:
			account = "mine/" + session.ID()
		case n.ours:
			account = "ours/" + session.User()
		}
		must = w.sure(account)
		l, err := s.Get(ctx)
		w.explain("read "+account, err)
		ended := (s == n.mine || s == n.ours) && l != nil && len(l.Items) == 0 // meanwhile
		if err == nil && !ended {
			w.contains("a read of "+account, l.Items, must)
		}
	})
}

// renew gives the session another cookie; the old one is refused then.
func (w *worker) renew(n *node, b *browser) {
	old := b.get()
	var err error
	cookie := w.request(n, old, func(ctx context.Context) { err = stay.SessionFrom(ctx).Renew(ctx) })
	w.explain("Renew", err)
	switch stay.CodeOf(err) {
	case "":
		b.set(old, cookie)
		w.refused(n, old, sessionid.Of(cookie), "replaced by Renew")
	case stay.ErrUnknown, stay.ErrEnded:
		b.set(old, "")
	}
}

// refused tries a cookie that is not good any more for this session.
func (w *worker) refused(n *node, cookie, id, why string) {
	if cookie == "" {
		return
	}
	word, began := w.word(), w.tick()
	var err error
	now := sessionid.Of(w.request(n, cookie, func(ctx context.Context) {
		_, err = n.mine.Update(ctx, func(l *List) error { l.Items = append(l.Items, word); return nil })
		if got := stay.SessionFrom(ctx).ID(); got == id {
			w.t.Errorf("the session's ID through a cookie that was %s", why)
		}
	}))
	if err == nil && now == id {
		w.t.Errorf("a change through a cookie that was %s", why)
	}
	if now != id {
		w.note("mine/"+now, word, stay.CodeOf(err), began) // a minute has passed
	}
}

// destroy ends the session: nothing of it is left, and nothing works through
// its cookie.
func (w *worker) destroy(n *node, b *browser) {
	cookie := b.get()
	if cookie == "" {
		return
	}
	id := sessionid.Of(cookie)
	var err error
	w.request(n, cookie, func(ctx context.Context) {
		// The session of a cookie that ended long ago is another one.
		if stay.SessionFrom(ctx).Expires().IsZero() {
			err = stay.ErrEnded
			return
		}
		err = stay.SessionFrom(ctx).Destroy(ctx)
	})
	w.explain("Destroy", err)
	switch {
	case err == nil:
		w.end("mine/"+id, true)
		w.refused(n, cookie, id, "destroyed")
	case stay.CodeOf(err) == stay.ErrUnknown:
		w.end("mine/"+id, false)
	case stay.CodeOf(err) != stay.ErrEnded:
		return
	}
	b.set(cookie, "")
}

func (w *worker) login(n *node, b *browser) {
	old := b.get()
	var err error
	cookie := w.request(n, old, func(ctx context.Context) {
		if s := stay.SessionFrom(ctx); s.User() == "" {
			err = s.Login(ctx, b.user)
		}
	})
	w.explain("Login", err)
	switch stay.CodeOf(err) {
	case "":
		b.set(old, cookie)
	case stay.ErrUnknown, stay.ErrEnded:
		b.set(old, "")
	}
}
