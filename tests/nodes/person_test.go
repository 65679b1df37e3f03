package nodes_test

import (
	"fmt"
	"net/url"

	"github.com/stay-go/stay"
)

// A person has one browser, does one thing after another, and uses everything
// that the site has.
type person struct {
	*client
	cookie  string
	session string // its ID, "" until it is known
	user    string // who is logged in
	key     string
	login   *login
	// What the person counts without a user, and without a key.
	guest, keyGuest guest
	// ghosts are cookies that were replaced or belong to sessions that were ended.
	ghosts []ghost
	guests int // how many guests there were
}

// A guest is a register of a session alone.
type guest struct {
	register string
	value
	doubt bool // it may have one change more
}

// A ghost is a cookie that must not open anything any more.
type ghost struct {
	cookie, session, why string
}

// What people log in as, and switch to.
var (
	users = []string{"ann", "bob", "cyd"}
	keys  = []string{"red", "green"}
)

func (r *run) newPerson() *person {
	p := &person{client: r.newClient()}
	p.fresh()
	return p
}

// fresh is a new browser.
func (p *person) fresh() {
	p.life++
	p.cookie, p.session, p.user, p.key, p.login = "", "", "", "", nil
	p.newGuest(&p.guest, "guest")
	p.newGuest(&p.keyGuest, "keyguest")
}

func (p *person) newGuest(g *guest, name string) {
	p.guests++
	*g = guest{register: fmt.Sprintf("%s/%d.%d.%d", name, p.number, p.life, p.guests)}
}

func (p *person) ownRegister() string { return fmt.Sprintf("own/%d.%d", p.number, p.life) }

func (p *person) userRegister() string {
	if p.user != "" {
		return "user/" + p.user
	}
	return p.guest.register
}

func (p *person) keyRegister() string {
	if p.key != "" {
		return "key/" + p.key
	}
	return p.keyGuest.register
}

// send makes a request with the person's cookie, and keeps the one that the
// answer sets.
func (p *person) send(method, path string, form url.Values) reply {
	q := p.request(method, path, p.cookie, form)
	if q.cookie != nil {
		p.cookie = q.cookie.Value
	}
	return q
}

// step does one thing.
func (p *person) step() {
	if p.cookie == "" {
		p.fresh() // nobody has the cookie of the session before, if there was one
		p.change(add, p.ownRegister(), "/own", nil)
		return
	}
	switch n := p.random.IntN(124); {
	case n < 16:
		p.change(add, p.ownRegister(), "/own", nil)
	case n < 24:
		p.change(read, p.ownRegister(), "/own", nil)
	case n < 26:
		p.change(reset, p.ownRegister(), "/own", nil)
	case n < 36:
		p.change(add, "all", "/all", nil)
	case n < 42:
		p.change(read, "all", "/all", nil)
	case n < 43:
		p.change(reset, "all", "/all", nil)
	case n < 56:
		p.change(add, p.userRegister(), "/user", &p.guest)
	case n < 64:
		p.change(read, p.userRegister(), "/user", &p.guest)
	case n < 65:
		p.change(reset, p.userRegister(), "/user", &p.guest)
	case n < 78:
		p.change(add, p.keyRegister(), "/keyed", &p.keyGuest)
	case n < 86:
		p.change(read, p.keyRegister(), "/keyed", &p.keyGuest)
	case n < 91:
		p.switchKey(p.other(append(keys, ""), p.key))
	case n < 97:
		p.logIn(p.other(users, p.user))
	case n < 101:
		p.logOut()
	case n < 102:
		p.revoke()
	case n < 104:
		p.revokeOthers()
	case n < 112:
		p.haunt()
	case n < 118:
		p.change(add, brief, "/brief", nil)
	case n < 122:
		p.change(read, brief, "/brief", nil)
	default:
		p.change(remove, brief, "/brief", nil)
	}
}

// other draws one of the names that is not this one.
func (p *person) other(names []string, not string) string {
	for {
		if name := names[p.random.IntN(len(names))]; name != not {
			return name
		}
	}
}

// change makes an operation on a register, which may be that of a guest.
func (p *person) change(k kind, register, path string, g *guest) {
	o := p.next(k, register)
	q := p.operate(o, path, nil)
	if g != nil && g.register == register {
		switch o.Outcome {
		case ok:
			g.value = o.Shown.value
		case unknown:
			g.doubt = true
		}
	}
	if q.outcome != ok {
		p.rest()
	}
}

// operate makes an operation and notes what became of it, and of the session.
func (p *person) operate(o *op, path string, form url.Values) reply {
	method := "POST"
	switch o.Kind {
	case read:
		method = "GET"
	case merge:
		// the path says what it does
	default:
		path, form = path+"/"+string(o.Kind), url.Values{"op": {o.ID}}
	}
	life := p.life
	q := p.send(method, path, form)
	if q.outcome == ok && !everybodys(o.Register) && p.session != "" && q.answer.Session != p.session && !p.there() {
		// What it shows may still be what the session saw before its end.
		if q.answer.Seq == 0 || q.answer.Session != "" {
			q.outcome, q.text = failed, "the session had ended"
		}
	}
	p.r.record(o, q)
	if p.life != life {
		return q
	}
	switch {
	case q.code == stay.ErrEnded:
		p.over(q)
	case q.outcome == ok && p.session == "":
		p.session = q.answer.Session
	}
	return q
}

// everybodys reports whether a register has nothing to do with sessions.
func everybodys(register string) bool { return register == "all" || register == brief }

// there reports whether the session is still there, after an answer that did not
// have its ID. Such an answer may also mean that the store could not be asked.
func (p *person) there() bool {
	for range 200 {
		o := p.next(add, p.ownRegister())
		q := p.send("POST", "/own/add", url.Values{"op": {o.ID}})
		gone := q.code == stay.ErrEnded || q.outcome == ok && q.answer.Session != "" && q.answer.Session != p.session
		if gone && q.outcome == ok { // of another session
			q.outcome, q.text = failed, "the session had ended"
		}
		p.r.record(o, q)
		switch {
		case gone:
			p.over(q)
			return false
		case q.outcome == ok && q.answer.Session == p.session:
			return true
		}
		p.rest()
	}
	p.r.wrong("client %d cannot find out whether its session is there", p.number)
	p.fresh()
	return false
}

// over notes that the session has ended.
func (p *person) over(q reply) {
	note(p.r.history, &p.r.Ends, end{p.number, p.life, q.ret, fmt.Sprintf("node %d, %s: %s", q.node, q.code, q.text)})
	p.fresh()
}

// replaced notes that a cookie must not open anything any more.
func (p *person) replaced(cookie, why string) {
	if cookie != "" && cookie != p.cookie {
		p.ghosts = append(p.ghosts, ghost{cookie, p.session, why})
	}
}
