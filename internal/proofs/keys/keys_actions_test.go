package keys_test

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
)

// A request is one with a cookie; nil = of nobody.
type request struct {
	w      *world
	p      *process
	c      *cookie
	ctx    context.Context
	answer *testkit.Response
	span   *span
	dead   bool // the cookie was refused before
	what   string
}

func (w *world) request(what string, c *cookie) *request {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := &request{w: w, what: what, p: w.p, c: c, span: &span{from: w.now()}, ctx: context.Background()}
	if c != nil {
		b := &testkit.Browser{App: access.AppOf(r.p.app), Ring: r.p.ring, Token: c.value}
		r.ctx, r.answer = b.Request()
		r.dead = c.dead
	}
	return r
}

// over notes the answer. The world is locked from then on, until the caller
// unlocks it.
func (r *request) over(err error) outcome {
	w := r.w
	w.mu.Lock()
	r.span.to = w.now()
	switch {
	case r.p.life.dead.Load(), errors.Is(err, stay.ErrUnknown):
		r.span.how = doubtful
	case err == nil:
		r.span.how = acked
	default:
		r.span.how = failed
	}
	if w.calm && err != nil && !errors.Is(err, stay.ErrEnded) {
		w.wrong("%s fails and nothing is wrong: %v", r.what, err)
	}
	if r.c == nil {
		w.note("%d-%d %s: %v", r.span.from, r.span.to, r.what, err)
		return r.span.how
	}
	w.note("%d-%d %s of %q, %q (guests %d, %d): %v", r.span.from, r.span.to, r.what, r.c.owner, r.c.user, r.c.todosGuest, r.c.userGuest, err)
	if r.dead && err == nil && r.what != "destroy" && !r.joined() && !r.anew() { // which may have been done
		w.wrong("a change (%s) through a cookie that was refused before was acknowledged", r.what)
	}
	if errors.Is(err, stay.ErrEnded) && !r.c.dead && !r.c.doubt && r.c.changes == 0 && !r.p.life.dead.Load() {
		w.wrong("a cookie is refused for no reason: %v", err)
	}
	return r.span.how
}

// joined reports whether a login got the cookie of the same login, made before.
func (r *request) joined() bool { return r.what == "login" && r.w.known(r.answer.Browser.Token) != nil }

// anew reports whether a login has begun another session, in place of one that
// was over.
func (r *request) anew() bool {
	token := r.answer.Browser.Token
	return r.what == "login" && token != r.c.value && r.session(token) != r.session(r.c.value)
}

// session returns the ID of the session that a cookie names.
func (r *request) session(cookie string) [16]byte {
	t, err := r.p.ring.Verify(context.Background(), cookie)
	if err != nil || t == nil {
		r.w.wrong("cookie %q cannot be read: %v", cookie, err)
		return [16]byte{}
	}
	return t.ID
}

// known returns the cookie with this value. The world is locked.
func (w *world) known(value string) *cookie {
	for _, c := range w.cookies {
		if c.value == value {
			return c
		}
	}
	return nil
}

// visit begins a session and returns its cookie; nil if it could not.
func (w *world) visit() *cookie {
	w.mu.Lock()
	c := &cookie{todosGuest: w.newGuest(), userGuest: w.newGuest()}
	w.mu.Unlock()
	r := w.request("visit", c)
	_, err := r.p.todos.Get(r.ctx)
	if how := r.over(err); how != acked || len(r.answer.Issued) == 0 {
		w.mu.Unlock()
		return nil
	}
	c.value, c.made = r.answer.Browser.Token, w.now()
	w.cookies = append(w.cookies, c)
	w.mu.Unlock()
	return c
}

// begin notes that a request may replace its cookie.
func (r *request) begin() {
	r.w.mu.Lock()
	r.c.changes++
	r.w.mu.Unlock()
}

// replace records the fate of the cookie. The world is locked.
func (r *request) replace(how outcome, next func(c *cookie)) *cookie {
	w, c := r.w, r.c
	issued := r.answer.Browser.Token != c.value
	switch {
	case how == failed:
		c.changes--
		return nil
	case how == doubtful:
		c.doubt = true
		return nil
	case !issued:
		c.changes--
		return nil
	}
	if n := w.known(r.answer.Browser.Token); n != nil && r.what == "login" { // sent twice
		c.changes--
		w.onePassage(c.userGuest, r.span)
		same := *n
		if next(&same); same.user != n.user {
			w.wrong("a login of %q joined one of %q", same.user, n.user)
		}
		return n
	}
	if r.anew() {
		return r.begun(next)
	}
	if c.replaced++; c.replaced > 1 {
		w.wrong("one cookie was replaced twice")
	}
	c.dead = true
	n := &cookie{
		value: r.answer.Browser.Token, owner: c.owner, user: c.user, asOwner: c.asOwner,
		todosGuest: c.todosGuest, userGuest: c.userGuest, made: r.span.to,
	}
	next(n)
	w.made(r, n)
	return n
}

// made notes a cookie that a request was answered with.
func (w *world) made(r *request, n *cookie) {
	for _, rev := range w.revokes[n.user] {
		if n.user != "" && rev.how != failed && (rev.to == 0 || rev.how == doubtful || rev.to > r.span.from) {
			n.doubt = true
		}
	}
	w.cookies = append(w.cookies, n)
}

// begun notes that a login has begun another session. It takes nothing along, and
// the old session is as it was: over.
func (r *request) begun(next func(c *cookie)) *cookie {
	w, c := r.w, r.c
	if c.changes == 1 && !c.dead && !c.doubt {
		w.wrong("a login has begun another session for no reason")
	}
	c.changes--
	w.logins[c.userGuest] = slices.DeleteFunc(w.logins[c.userGuest], func(l *passage) bool { return l.span == r.span })
	for pl, all := range w.deletes {
		w.deletes[pl] = slices.DeleteFunc(all, func(s *span) bool { return s == r.span })
	}
	n := &cookie{value: r.answer.Browser.Token, todosGuest: w.newGuest(), userGuest: w.newGuest(), made: r.span.to}
	next(n)
	w.made(r, n)
	return n
}

func (r *request) here(module int) place {
	if module == inTodos {
		return place{inTodos, r.c.owner, 0}.or(r.c.todosGuest)
	}
	return place{module, r.c.user, 0}.or(r.c.userGuest)
}

func (p place) or(guest int) place {
	if p.user == "" {
		p.guest = guest
	}
	return p
}

// asOwner checks whose todos a request works on, and returns where that is.
func (r *request) asOwner(id string) place {
	switch {
	case id != "" && id != r.c.owner:
		r.w.wrong("a request of %q works on the todos of %q", r.c.owner, id)
	case id == "" && r.c.owner != "" && !r.mayBeDetached():
		r.w.wrong("a request of %q works as a guest", r.c.owner)
	case id != "" && r.mustBeDetached():
		r.w.wrong("a request works on the todos of %q, from which it was detached", id)
	}
	return place{inTodos, id, 0}.or(r.c.todosGuest)
}

func (r *request) mayBeDetached() bool {
	return slices.ContainsFunc(r.w.deletes[place{inTodos, r.c.owner, 0}], func(d *span) bool {
		return d.how != failed && (d.to == 0 || d.how == doubtful || d.to > r.c.asOwner.from)
	})
}

func (r *request) mustBeDetached() bool {
	return slices.ContainsFunc(r.w.deletes[place{inTodos, r.c.owner, 0}], func(d *span) bool {
		return d.how == acked && d.from > r.c.asOwner.to && d.to < r.span.from
	})
}

// item makes an item.
func (w *world) item() (string, *item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	it := &item{span: span{from: w.now()}}
	name := fmt.Sprintf("i%d", len(w.items))
	w.items[name] = it
	return name, it
}

func (w *world) done(it *item, how outcome) {
	it.how, it.to = how, w.now()
}

// add adds an item with a cookie.
func (w *world) add(c *cookie, module int) error {
	name, it := w.item()
	r := w.request("add", c)
	var err error
	if module == inTodos {
		_, err = r.p.todos.Update(r.ctx, func(t *testkit.Todos) error {
			w.hasTurn()
			w.mu.Lock()
			defer w.mu.Unlock()
			it.place = r.asOwner(t.Owner.ID)
			t.Items = append(t.Items, name)
			return nil
		})
	} else {
		_, err = r.p.carts[module].Update(r.ctx, func(s *testkit.Cart) error {
			w.hasTurn()
			w.mu.Lock()
			defer w.mu.Unlock()
			it.place = r.here(module)
			s.Items = append(s.Items, name)
			return nil
		})
	}
	w.done(it, r.over(err))
	w.mu.Unlock()
	return err
}

// addAt adds an item to a user's state, without a session.
func (w *world) addAt(user string, module int) error {
	name, it := w.item()
	r := w.request("addAt", nil)
	w.mu.Lock()
	it.place = place{module, user, 0}
	w.mu.Unlock()
	var err error
	if module == inTodos {
		_, err = r.p.todos.At(user).Update(r.ctx, func(t *testkit.Todos) error {
			t.Owner = testkit.Owner{ID: user, Role: "by At"}
			t.Items = append(t.Items, name)
			return nil
		})
	} else {
		_, err = r.p.carts[module].At(user).Update(r.ctx, testkit.Put(name))
	}
	w.done(it, r.over(err))
	w.mu.Unlock()
	return err
}

// remove deletes the state of a user.
func (w *world) remove(user string, module int) error {
	r := w.request("remove", nil)
	return w.removeAs(r, place{module, user, 0}, func() error {
		if module == inTodos {
			return r.p.todos.At(user).Delete(r.ctx)
		}
		return r.p.carts[module].At(user).Delete(r.ctx)
	})
}

// removeGuest deletes the state of a guest; of a user's cookie it does
// nothing.
func (w *world) removeGuest(c *cookie, module int) error {
	r := w.request("removeGuest", c)
	pl := r.here(module)
	if pl.guest == 0 {
		return nil
	}
	return w.removeAs(r, pl, func() error {
		if module == inTodos {
			return r.p.todos.Delete(r.ctx)
		}
		return r.p.carts[module].Delete(r.ctx)
	})
}

func (w *world) removeAs(r *request, pl place, do func() error) error {
	w.mu.Lock()
	w.deletes[pl] = append(w.deletes[pl], r.span)
	w.mu.Unlock()
	err := do()
	r.over(err)
	w.mu.Unlock()
	return err
}

// try notes that a guest may go to a user; it does so with each run.
func (w *world) try(guest int, user string, s *span) {
	if !slices.ContainsFunc(w.logins[guest], func(l *passage) bool { return l.span == s }) {
		w.logins[guest] = append(w.logins[guest], &passage{s, user})
	}
}

// onePassage notes that a login was one with another of the same guest, made
// by either of them.
func (w *world) onePassage(guest int, s *span) {
	all := w.logins[guest]
	i := slices.IndexFunc(all, func(l *passage) bool { return l.span == s })
	if i < 0 {
		return
	}
	w.logins[guest] = slices.Delete(all, i, i+1)
	for _, l := range w.logins[guest] {
		if l.how == acked {
			l.span = &span{from: min(l.from, s.from), to: max(l.to, s.to), how: acked}
		}
	}
}

// become changes the owner of todos; "" = a logout.
func (w *world) become(c *cookie, user string) (*cookie, error) {
	name, it := w.item()
	r := w.request("become", c)
	r.begin()
	saw := ""
	v, err := r.p.todos.Update(r.ctx, func(t *testkit.Todos) error {
		w.hasTurn()
		w.mu.Lock()
		defer w.mu.Unlock()
		saw = t.Owner.ID
		from := r.asOwner(saw)
		if saw == user {
			return nil
		}
		if saw == "" {
			w.try(from.guest, user, r.span)
		} else {
			t.Items = append(t.Items, name) // it is dropped
		}
		return testkit.Become(user)(t)
	})
	how := r.over(err)
	defer w.mu.Unlock()
	it.never = true
	w.done(it, how)
	if how == acked && saw != user && user != "" && v.Owner != (testkit.Owner{ID: user, Role: "r-" + user}) {
		w.wrong("the owner of %q is %v", user, v.Owner)
	}
	if how == acked && saw != user && r.answer.Browser.Token == c.value {
		w.wrong("the key has changed and the cookie has not")
	}
	return r.replace(how, func(n *cookie) {
		n.owner, n.asOwner = user, r.span
		n.todosGuest = w.newGuest()
	}), err
}

// login changes the user of the session; "" = a logout.
func (w *world) login(c *cookie, user string) (*cookie, error) {
	r := w.request("login", c)
	r.begin()
	if c.user == "" && user != "" {
		w.mu.Lock()
		w.try(c.userGuest, user, r.span)
		w.mu.Unlock()
	}
	leaves := c.user != "" && c.user != user
	if leaves { // and the user's states without a key are dropped
		w.mu.Lock()
		pl := place{inTodos, "", c.todosGuest}
		w.deletes[pl] = append(w.deletes[pl], r.span)
		w.mu.Unlock()
	}
	var err error
	if user == "" {
		err = stay.SessionFrom(r.ctx).Logout(r.ctx)
	} else {
		err = stay.SessionFrom(r.ctx).Login(r.ctx, user)
	}
	how := r.over(err)
	defer w.mu.Unlock()
	if how == acked && (user != "" || c.user != "") && r.answer.Browser.Token == c.value {
		w.wrong("the user has changed and the cookie has not")
	}
	return r.replace(how, func(n *cookie) {
		if n.user != user {
			n.user, n.userGuest = user, w.newGuest()
		}
		if leaves {
			n.todosGuest = w.newGuest()
		}
	}), err
}

// renew gives the session a new cookie.
func (w *world) renew(c *cookie) (*cookie, error) {
	r := w.request("renew", c)
	r.begin()
	err := stay.SessionFrom(r.ctx).Renew(r.ctx)
	how := r.over(err)
	defer w.mu.Unlock()
	return r.replace(how, func(*cookie) {}), err
}

// destroy ends the session.
func (w *world) destroy(c *cookie) error {
	r := w.request("destroy", c)
	r.begin()
	err := stay.SessionFrom(r.ctx).Destroy(r.ctx)
	how := r.over(err)
	defer w.mu.Unlock()
	switch how {
	case acked:
		c.dead = true
	case doubtful:
		c.doubt = true
	default:
		c.changes--
	}
	return err
}

// revoke ends the sessions of a user.
func (w *world) revoke(user string) error {
	r := w.request("revoke", nil)
	w.mu.Lock()
	w.revokes[user] = append(w.revokes[user], r.span)
	for _, c := range w.cookies {
		if c.user == user {
			c.changes++
		}
	}
	w.mu.Unlock()
	err := r.p.app.Revoke(r.ctx, user)
	how := r.over(err)
	defer w.mu.Unlock()
	for _, c := range w.cookies {
		switch {
		case c.user != user:
		case how == failed:
			c.changes--
		case how == acked && c.made < r.span.from:
			c.dead = true
		default:
			c.doubt = true
		}
	}
	return err
}
