package crash_test

import (
	"fmt"
	"slices"

	"github.com/stay-go/stay/tests/internal/crashsite"
)

// differences says what a browser found that is not as it should be. id is
// that of the session whose cookie it holds, "" if it holds none.
func (w *world) differences(browser, id string, a *crashsite.All) (bad []string) {
	wrong := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	number := func(what string, got crashsite.Count, want int) {
		if got.N != want {
			wrong("%s is %d, want %d", what, got.N, want)
		}
	}
	names := [keyed]string{"notes", "cart", "list"}

	number("total", a.Total, w.total)
	for user := firstUser; user < users; user++ {
		u := a.At[user-1]
		for m, got := range []crashsite.Count{u.Notes, u.Cart, u.List} {
			number(fmt.Sprintf("%s of user %d", names[m], user), got, w.at[user][m])
		}
	}
	// By its ID, whatever became of the cookie.
	switch found := a.Session.Found; {
	case id == "":
	case w.fate == ended && found:
		wrong("the session that has ended still has a state of its own")
	case w.fate != ended && !found && w.own+w.kept != 0:
		wrong("the session's own state, %d and %d, is gone", w.own, w.kept)
	case found && (a.Session.Own.N != w.own || a.Session.Kept != w.kept):
		wrong("by its ID the session's own state is %d and %d, want %d and %d", a.Session.Own.N, a.Session.Kept, w.own, w.kept)
	}
	alive := id != "" && !a.Ended && a.ID == id
	if alive != (id != "" && w.fate == good) {
		wrong("the cookie is that of a session that goes on: %t, want %t", alive, w.fate == good)
	}
	if !alive {
		return append(bad, empty(a)...)
	}
	number("own", a.Own, w.own)
	number("brief", a.Brief, w.brief)
	if a.Kept != w.kept {
		wrong("kept is %d, want %d", a.Kept, w.kept)
	}
	if a.Draft.N < w.floor || a.Draft.N > w.draft {
		wrong("draft is %d, want %d to %d", a.Draft.N, w.floor, w.draft)
	}
	if want := userName(browser, w.notesOf); a.NotesOf != want {
		wrong("the notes are those of %q, want %q", a.NotesOf, want)
	}
	if want := userName(browser, w.user); a.User != want {
		wrong("the user is %q, want %q", a.User, want)
	}
	for m, got := range []crashsite.Count{a.Notes, a.Cart, a.List} {
		number(names[m], got, *w.ownerOf(m))
	}
	return bad
}

// empty says what can be seen through a cookie that is not that of a session.
func empty(a *crashsite.All) (bad []string) {
	for _, c := range []crashsite.Count{a.Own, a.Brief, a.Draft, a.Notes, a.Cart, a.List} {
		if c.N != 0 || len(c.Others) != 0 {
			bad = append(bad, "a cookie that should be no good shows state")
			break
		}
	}
	if a.Kept != 0 || a.NotesOf != "" || a.User != "" {
		bad = append(bad, "a cookie that should be no good shows whose it was")
	}
	return bad
}

// torn says which of the states that were found are not whole, and which hold
// what is not theirs.
func torn(browser string, a *crashsite.All) (bad []string) {
	check := func(what string, c crashsite.Count, shared bool) {
		if !c.Whole {
			bad = append(bad, what+" is torn")
		}
		if !shared && len(c.Others) > 0 {
			bad = append(bad, fmt.Sprintf("%s has what %v did", what, c.Others))
		}
	}
	shared := userName(browser, everybody)
	check("total", a.Total, true)
	check("own", a.Own, false)
	check("brief", a.Brief, false)
	check("draft", a.Draft, false)
	check("notes", a.Notes, a.NotesOf == shared)
	check("cart", a.Cart, a.User == shared)
	check("list", a.List, a.User == shared)
	if a.Session.Found {
		check("own by ID", a.Session.Own, false)
	}
	var named []string
	for user := firstUser; user < users; user++ {
		named = append(named, userName(browser, user))
	}
	for i, u := range a.At {
		check("notes of "+named[i], u.Notes, named[i] == shared)
		check("cart of "+named[i], u.Cart, named[i] == shared)
		check("list of "+named[i], u.List, named[i] == shared)
		if u.NotesOf != named[i] {
			bad = append(bad, fmt.Sprintf("the notes under the key %q say that they are those of %q", named[i], u.NotesOf))
		}
	}
	if a.NotesOf != "" && !slices.Contains(named, a.NotesOf) {
		bad = append(bad, fmt.Sprintf("the notes are those of %q, who is somebody else's", a.NotesOf))
	}
	return bad
}
