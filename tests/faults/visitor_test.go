package faults_test

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"sync"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/tests/internal/sessionid"
)

// A visitor has a browser, and does one thing after the other, but for tabs.
type visitor struct {
	*street
	worker // for its words
	client *http.Client
	own    string // a user that nobody else is
	id     string // of the session, as far as it is known
	user   string
	owned  map[string]bool // sessions that may be logged in as own
	first  []string        // words that may be in a session whose ID is not known yet
	pool   *pool

	held  string // the cookie as it was seen last
	since int    // the phase in which it was new
}

// node draws whom the next request reaches.
func (v *visitor) node() int { return v.random.IntN(len(v.servers)) }

// ctx is that of the next request; some callers leave early.
func (v *visitor) ctx() (context.Context, context.CancelFunc) {
	if v.random.IntN(10) == 0 {
		return context.WithTimeout(context.Background(), time.Duration(v.random.IntN(3000))*time.Microsecond)
	}
	return context.WithCancel(context.Background())
}

func (v *visitor) send(method, path string, form url.Values) answer {
	ctx, cancel := v.ctx()
	defer cancel()
	defer v.hold()
	return v.ask(ctx, v.client, v.node(), method, path, form)
}

// hold notes when the cookie has changed.
func (v *visitor) hold() {
	if now := v.cookie(v.client); now != v.held {
		v.held, v.since = now, v.phases
	}
}

// abandon has the visitor begin anew, without a cookie.
func (v *visitor) abandon() {
	jar, err := cookiejar.New(nil)
	if err != nil {
		panic(err)
	}
	v.client.Jar = jar
	v.id, v.user, v.first = "", "", nil
}

// knows tells whether an answer was an error that the weather explains. The
// cookie is the good one, so the session has not ended.
func (v *visitor) explained(what string, a answer) {
	if a.code != "" && !a.lost && !v.may[a.code] {
		v.street.t.Errorf("%s: %v", what, a.code)
	}
}

func (v *visitor) visit() {
	switch k := v.random.IntN(100); {
	case k < 40:
		v.add()
	case k < 62:
		v.look()
	case k < 72:
		v.become("/login", []string{"u0", "u1", v.own}[v.random.IntN(3)])
	case k < 76:
		v.become("/logout", "")
	case k < 82:
		v.become("/renew", v.user)
	case k < 86:
		v.leave()
	case k < 90:
		if v.become("/login", v.own); v.user == v.own {
			v.revoke()
		}
	default:
		v.tabs()
	}
}

// account names the state that a path leads to.
func (v *visitor) account(path, id, user string) string {
	switch path {
	case "/mine":
		if id != "" {
			return "mine/" + id
		}
	case "/ours":
		if user != "" {
			return "ours/" + user
		}
	default:
		return "all"
	}
	return ""
}

func (v *visitor) path() string {
	paths := []string{"/mine", "/mine", "/ours", "/all"}
	if v.user == "" {
		paths = []string{"/mine", "/mine", "/all"}
	}
	return paths[v.random.IntN(len(paths))]
}

func (v *visitor) add() {
	path, word, began := v.path(), v.word(), v.street.tick()
	a := v.send(http.MethodPost, path, url.Values{"word": {word}})
	v.explained("POST "+path, a)
	account := v.account(path, v.id, v.user)
	switch {
	case a.lost || a.code == stay.ErrUnknown:
		if account != "" {
			v.street.note(account, word, stay.ErrUnknown, began)
		} else {
			v.first = append(v.first, word)
		}
	case a.code == "":
		v.sees(path, a)
		v.street.note(v.account(path, v.id, v.user), word, "", began)
	case account != "":
		v.street.note(account, word, a.code, began)
	}
}

// sees checks that the answer is that of the session that it must be. One that
// has set no cookie is that of no session that lasts.
func (v *visitor) sees(what string, a answer) {
	switch cookie := v.cookie(v.client); {
	case cookie == "":
		v.id = ""
	case v.id == "":
		v.id = sessionid.Of(cookie)
		for _, word := range v.first {
			v.street.note("mine/"+v.id, word, stay.ErrUnknown, v.street.tick())
		}
		v.first = nil
	case sessionid.Of(cookie) != v.id:
		v.street.t.Errorf("%s: the cookie is that of session %s, want %s", what, sessionid.Of(cookie), v.id)
	case a.session != v.id && a.session != "": // "" where the store could not tell
		v.street.t.Errorf("%s: the session is %s, want %s", what, a.session, v.id)
	}
}

func (v *visitor) look() {
	path := v.path()
	must := []string(nil)
	if account := v.account(path, v.id, v.user); account != "" {
		must = v.street.sure(account)
	}
	a := v.send(http.MethodGet, path, nil)
	v.explained("GET "+path, a)
	if a.code == "" && !a.lost {
		v.sees(path, a)
		v.street.contains("a look at "+path, a.items, must)
	}
}

// become changes whom the session belongs to, or its cookie.
func (v *visitor) become(path, user string) {
	old, from := v.cookie(v.client), v.now()
	nothing := path == "/logout" && v.user == ""
	again := false
	for {
		a := v.send(http.MethodPost, path, url.Values{"user": {user}})
		switch {
		case a.lost || a.code == stay.ErrUnknown:
			// It may have happened: the cookie is of no use then. The same
			// login may be sent again.
			if user == v.own {
				v.owned[v.id] = true
			}
			if path == "/login" && !again && v.cookie(v.client) == old && v.random.IntN(2) == 0 {
				again = true
				continue
			}
			v.abandon()
		case a.code == "":
			v.sees(path, a)
			if path != "/renew" {
				v.user = user
			}
			if user == v.own {
				v.owned[v.id] = true
			}
			switch {
			case old == "" || nothing: // but that it may slide
			case v.cookie(v.client) == old:
				v.street.t.Errorf("%s: the cookie is not replaced", path)
			default:
				v.pool.add(stale{old, v.id, "replaced by " + path, from, v.now(), v.phases})
			}
		case again: // the first may have happened
			v.abandon()
		default:
			v.explained(path, a)
		}
		return
	}
}

// leave ends the session.
func (v *visitor) leave() {
	old, from := v.cookie(v.client), v.now()
	if old == "" || v.id == "" {
		return
	}
	a := v.send(http.MethodPost, "/destroy", nil)
	switch {
	case a.lost || a.code == stay.ErrUnknown:
		v.street.end("mine/"+v.id, false)
		v.abandon()
	case a.code == "":
		v.street.end("mine/"+v.id, true)
		if v.cookie(v.client) != "" {
			v.street.t.Error("after Destroy the browser has a cookie")
		}
		v.pool.add(stale{old, v.id, "of a session that was destroyed", from, v.now(), v.phases})
		v.abandon()
	default:
		v.explained("/destroy", a)
	}
}

// revoke ends all sessions of the visitor's own user.
func (v *visitor) revoke() {
	from := v.now()
	a := v.ask(context.Background(), &http.Client{Transport: v.transport}, v.node(), http.MethodPost, "/revoke", url.Values{"user": {v.own}})
	if !a.lost && a.code != "" && a.code != stay.ErrUnknown {
		v.explained("/revoke", a)
		return
	}
	for id := range v.owned {
		v.street.end("mine/"+id, false)
	}
	if v.user != v.own {
		return
	}
	if a.code == "" && !a.lost {
		v.street.end("mine/"+v.id, true)
		v.pool.add(stale{v.cookie(v.client), v.id, "of a session that was revoked", from, v.now(), v.phases})
	}
	v.abandon()
}

// tabs makes several requests at once, one of them a login: whatever the order
// of the answers, the browser ends up with the cookie of the login.
func (v *visitor) tabs() {
	first := v.ask(context.Background(), v.client, v.node(), http.MethodGet, "/mine", nil)
	if v.hold(); first.lost || first.code != "" || v.held == "" || v.since != v.phases {
		return // a cookie that is due to slide may come beside that of the login
	}
	v.sees("/mine", first)
	old, from := v.cookie(v.client), v.now()
	user := []string{"u0", "u1"}[v.random.IntN(2)]
	nodes := []int{v.node(), v.node(), v.node(), v.node()}
	words := []string{v.word() + ".a", v.word() + ".b"} // in no order
	began := v.street.tick()
	var login answer
	var all sync.WaitGroup
	all.Go(func() {
		login = v.ask(context.Background(), v.client, nodes[0], http.MethodPost, "/login", url.Values{"user": {user}})
	})
	beside := make([]answer, len(words))
	for i, word := range words {
		all.Go(func() {
			a := v.ask(context.Background(), v.client, nodes[1+i], http.MethodPost, "/mine", url.Values{"word": {word}})
			switch beside[i] = a; {
			case a.lost || a.code == stay.ErrUnknown:
				v.street.note("mine/"+v.id, word, stay.ErrUnknown, began)
			case a.code == "":
				v.street.note("mine/"+v.id, word, "", began)
			case a.code != stay.ErrEnded:
				v.explained("a tab", a)
			}
		})
	}
	all.Go(func() { v.ask(context.Background(), v.client, nodes[3], http.MethodGet, "/mine", nil) })
	all.Wait()
	v.hold()
	for _, a := range beside {
		if a.set && a.cookie != login.cookie {
			v.street.t.Errorf("a tab sets the cookie %q beside a login", a.cookie)
		}
	}
	switch {
	case login.lost || login.code == stay.ErrUnknown:
		v.abandon()
	case login.code == "":
		v.user = user
		if v.cookie(v.client) != login.cookie {
			v.street.t.Error("another tab has overwritten the cookie of a login")
		}
		v.pool.add(stale{old, v.id, "replaced by a login beside other tabs", from, v.now(), v.phases})
	default:
		v.explained("a login beside other tabs", login)
	}
}

func newVisitor(s *street, i int, seed uint64, p *pool, may map[stay.Code]bool) *visitor {
	v := &visitor{street: s, client: s.client(), own: "own" + string(rune('0'+i)), owned: map[string]bool{}, pool: p}
	v.worker = worker{world: s.world, id: i, random: rand.New(rand.NewPCG(seed, uint64(i))), may: may}
	return v
}
