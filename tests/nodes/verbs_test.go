package nodes_test

import (
	"net/url"
	"time"

	"github.com/stay-go/stay"
)

// logIn logs in, from a guest or from another user.
func (p *person) logIn(user string) {
	if p.user == "" && p.guest.doubt {
		p.fresh() // nobody knows what would come along
		return
	}
	o := p.next(merge, "user/"+user)
	if p.user == "" {
		o.From, o.Addend = p.guest.register, p.guest.value
	}
	cookie, life := p.cookie, p.life
	q := p.send("POST", "/login", url.Values{"user": {user}})
	call, doubt := q.call, false
	for q.outcome != ok && (doubt || q.outcome == unknown) && p.random.IntN(8) > 0 {
		// The same login once more joins the first.
		doubt = true
		p.rest()
		q = p.request("POST", "/login", cookie, url.Values{"user": {user}})
		if q.cookie != nil {
			p.cookie = q.cookie.Value
		}
	}
	q.call = call
	if doubt && q.outcome == failed {
		q.outcome = unknown
	}
	another := q.outcome == ok && p.session != "" && q.answer.Session != "" && q.answer.Session != p.session
	if another && doubt { // the session has ended since it was logged in, or before
		q.outcome = unknown
	}
	p.r.record(o, q)
	o.Shown = nil // a login does not show the register
	next := &login{User: user, Client: p.number, Life: life, Call: call, Return: q.ret, EndCall: never, EndReturn: never}
	switch {
	case another && doubt:
		p.fresh()
	case another: // the session had ended, and the login has begun another one
		p.over(q)
	case q.outcome == ok:
		if p.user != "" {
			p.forget()
		}
		p.leave(call, q.ret)
		p.replaced(cookie, "login as "+user)
		p.user, p.login = user, next
		if p.session == "" {
			p.session = q.answer.Session
		}
		note(p.r.history, &p.r.Logins, next)
	case q.outcome == unknown:
		next.Return = never
		note(p.r.history, &p.r.Logins, next)
		p.fresh()
	case q.code == stay.ErrEnded:
		p.over(q)
	default:
		p.rest()
	}
}

// leave notes that the session no longer belongs to its user.
func (p *person) leave(call, ret time.Duration) {
	if p.login != nil {
		p.r.mu.Lock()
		p.login.EndCall, p.login.EndReturn = call, ret
		p.r.mu.Unlock()
	}
	p.user, p.login = "", nil
}

// forget begins new guests: what a user does without a key ends with the login.
func (p *person) forget() {
	p.newGuest(&p.guest, "guest")
	if p.key == "" {
		p.newGuest(&p.keyGuest, "keyguest")
	}
}

// logOut makes the session a guest's.
func (p *person) logOut() {
	if p.user == "" {
		return
	}
	cookie := p.cookie
	q := p.send("POST", "/logout", nil)
	switch {
	case q.outcome == ok:
		p.replaced(cookie, "logout of "+p.user)
		p.leave(q.call, q.ret)
		p.forget()
	case q.outcome == unknown:
		p.leave(q.call, never)
		p.fresh()
	case q.code == stay.ErrEnded:
		p.over(q)
	default:
		p.rest()
	}
}

// switchKey gives the keyed state another key, or none.
func (p *person) switchKey(key string) {
	if p.key == "" && p.keyGuest.doubt {
		p.fresh()
		return
	}
	o := p.next(merge, "key/"+key)
	if p.key == "" {
		o.From, o.Addend = p.keyGuest.register, p.keyGuest.value
	}
	cookie, life := p.cookie, p.life
	if key == "" { // the register is that of a new guest
		was := p.keyGuest
		p.newGuest(&p.keyGuest, "keyguest")
		o.Register = p.keyGuest.register
		defer func() {
			if p.life == life && o.Outcome == failed {
				p.keyGuest = was
			}
		}()
	}
	p.operate(o, "/keyed/switch", url.Values{"key": {key}})
	switch {
	case p.life != life:
	case o.Outcome == ok:
		p.replaced(cookie, "switch to "+key)
		p.key = key
		p.newGuest(&p.keyGuest, "keyguest")
		if key == "" {
			p.keyGuest.register = o.Register
		}
	case o.Outcome == unknown:
		p.fresh()
	default:
		p.rest()
	}
}

// revoke ends all sessions of the user, this one too.
func (p *person) revoke() { p.end("/revoke", false) }

// revokeOthers ends the user's sessions except this one.
func (p *person) revokeOthers() { p.end("/others", true) }

func (p *person) end(path string, others bool) {
	if p.user == "" {
		return
	}
	r := &revocation{User: p.user, Client: p.number, Life: p.life, Others: others}
	q := p.send("POST", path, url.Values{"user": {p.user}})
	r.Call, r.Return, r.Outcome = q.call, q.ret, q.outcome
	if others && q.outcome == failed {
		r.Outcome = unknown // it may have ended some
	}
	if r.Outcome == unknown {
		r.Return = never
	}
	note(p.r.history, &p.r.Revocations, r)
	switch {
	case q.code == stay.ErrEnded:
		p.over(q)
	case others:
		if q.outcome != ok {
			p.rest()
		}
	case q.outcome == ok:
		p.ghosts = append(p.ghosts, ghost{p.cookie, p.session, "revocation of " + p.user})
		p.fresh()
	case q.outcome == unknown:
		p.fresh()
	default:
		p.rest()
	}
}

// haunt uses a cookie that must not open anything any more.
func (p *person) haunt() {
	if len(p.ghosts) == 0 {
		return
	}
	const many = 8
	p.ghosts = p.ghosts[max(len(p.ghosts)-many, 0):]
	g := p.ghosts[p.random.IntN(len(p.ghosts))]
	paths := []string{"/user", "/own", "/keyed"}
	path, method := paths[p.random.IntN(len(paths))], "GET"
	o := p.next(read, "nobody")
	var form url.Values
	if p.random.IntN(3) == 0 {
		o.Kind, method, form = add, "POST", url.Values{"op": {o.ID}}
	}
	full := path
	if method == "POST" {
		full += "/add"
	}
	q := p.request(method, full, g.cookie, form)
	most := 0
	if o.Kind == add {
		most = 1 // of a new session
	}
	if q.outcome == ok && (q.answer.User != "" || q.answer.Seq > most || g.session != "" && q.answer.Session == g.session) {
		p.r.wrong("client %d: %s with the cookie from before a %s shows %+v", p.number, full, g.why, q.answer)
	}
	if o.Kind == add { // it must not be seen anywhere
		p.r.record(o, q)
		o.Shown = nil
	}
}
