package crash_test

import "fmt"

// The users that each browser logs in as: two of its own, and one that all
// browsers are logged in as at the same time.
const (
	nobody = iota
	firstUser
	secondUser
	everybody
	users // how many there are, nobody included
)

// userName is the name of a user; browsers have the first two to themselves.
func userName(browser string, user int) string {
	switch user {
	case nobody:
		return ""
	case everybody:
		return "everybody"
	}
	return fmt.Sprintf("%s-%d", browser, user)
}

// The modules whose states belong to users, and to guests before a login.
const (
	notes = iota // by WithKey
	cart         // by PerUser
	list         // by PerUser
	keyed        // how many there are
)

// What became of the cookie that the browser holds.
type fate int

const (
	good     fate = iota
	replaced      // the session goes on with a cookie that never arrived
	ended         // the session has ended
)

// A world is what one browser should find: its session, and its own part of
// what it shares with others. It is a value, so that a change makes another.
type world struct {
	fate    fate
	own     int
	kept    int
	brief   int
	floor   int // of draft: what is surely stored
	draft   int // of draft: what was sent
	notesOf int // the user of notes
	user    int // who is logged in
	guest   [keyed]int
	at      [users][keyed]int
	total   int
}

// endSession leaves what does not belong to the session.
func (w *world) endSession() {
	*w = world{fate: ended, at: w.at, total: w.total}
}

// An op is something that a browser does. next says what it makes of the
// world, all or nothing; n is how often it is done at the same time.
type op struct {
	name string
	path string
	user int // parameter
	n    int
	next func(w *world)
}

// become makes the notes those of a user, or a guest's.
func become(user int) op {
	o := op{name: "login of WithKey", path: "/notes/become", user: user}
	o.next = func(w *world) {
		switch w.notesOf {
		case user: // nothing but one more note
			*w.ownerOf(notes)++
			return
		case nobody: // what the guest has comes along, and what the login did
			w.at[user][notes] += w.guest[notes] + 1
		}
		w.guest[notes] = 0
		w.notesOf = user
		w.fate = replaced
	}
	if user == nobody {
		o.name = "logout of WithKey"
	}
	return o
}

// guestsOfUsers: what a user did as a guest, where there is no key, goes when
// the user leaves.
const guestsOfUsers = false

// login makes a user the session's, or nobody.
func login(user int) op {
	o := op{name: "Session.Login", path: "/login", user: user}
	o.next = func(w *world) {
		if user == nobody && w.user == nobody {
			return
		}
		if guestsOfUsers && w.user != nobody && w.user != user && w.notesOf == nobody {
			w.guest[notes] = 0
		}
		for _, m := range []int{cart, list} {
			if w.user == nobody {
				w.at[user][m] += w.guest[m]
			}
			w.guest[m] = 0
		}
		w.user = user
		w.fate = replaced
	}
	if user == nobody {
		o.name, o.path = "Session.Logout", "/logout"
	}
	return o
}

// ownerOf is where the browser's part of a keyed module's state is.
func (w *world) ownerOf(module int) *int {
	user := w.user
	if module == notes {
		user = w.notesOf
	}
	if user == nobody {
		return &w.guest[module]
	}
	return &w.at[user][module]
}

// choose returns what the browser does next, by two draws.
func (w *world) choose(what, which int) op {
	user := 1 + which%(users-1)
	own := 1 + which%2
	switch what % 24 {
	case 0, 1, 2:
		return op{name: "change of session state", path: "/own/add", next: func(w *world) { w.own++ }}
	case 3:
		return op{name: "change of preserved field", path: "/own/keep", next: func(w *world) { w.kept++ }}
	case 4, 5, 6:
		return op{name: "change of Global state", path: "/total/add", next: func(w *world) { w.total++ }}
	case 7, 8:
		return op{name: "change of WithKey state", path: "/notes/add", next: func(w *world) { *w.ownerOf(notes)++ }}
	case 9:
		return op{name: "change of PerUser state", path: "/cart/add", next: func(w *world) { *w.ownerOf(cart)++ }}
	case 10:
		return op{name: "change of PerUser state", path: "/list/add", next: func(w *world) { *w.ownerOf(list)++ }}
	case 11:
		return op{name: "change of state with Expiry", path: "/brief/add", next: func(w *world) { w.brief++ }}
	case 12, 13:
		return op{name: "change of debounced state", path: "/draft/add", next: func(w *world) { w.draft++ }}
	case 14:
		return op{name: "changes at the same time", path: "/own/add", n: 2 + which%5, next: func(w *world) { w.own++ }}
	case 15, 16:
		return become(user)
	case 17:
		if w.notesOf != nobody {
			return become(nobody)
		}
		return become(user)
	case 18, 19:
		return login(user)
	case 20:
		if w.user != nobody {
			return login(nobody)
		}
		return login(user)
	case 21:
		if which%2 == 0 {
			return op{name: "Reset", path: "/own/reset", next: func(w *world) { w.own = 0 }}
		}
		return op{name: "ResetAll", path: "/own/resetall", next: func(w *world) { w.own, w.kept = 0, 0 }}
	case 22:
		return op{name: "Renew", path: "/renew", next: func(w *world) { w.fate = replaced }}
	}
	switch {
	case which%4 == 0 && (w.user == firstUser || w.user == secondUser):
		return op{name: "Revoke", path: "/revoke", user: w.user, next: (*world).endSession}
	case which%4 == 1 && w.notesOf == own:
		return op{name: "Delete", path: "/notes/forget", next: func(w *world) {
			w.at[own][notes], w.guest[notes], w.notesOf = 0, 0, nobody
		}}
	case which%4 < 3:
		return op{name: "Renew", path: "/renew", next: func(w *world) { w.fate = replaced }}
	}
	return op{name: "Destroy", path: "/destroy", next: (*world).endSession}
}
