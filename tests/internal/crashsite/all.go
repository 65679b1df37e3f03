package crashsite

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/stay-go/stay"
)

// All is what a browser can see at one time, and what an administrator can.
type All struct {
	Ended bool   // the cookie is that of a session that has ended or was renewed
	ID    string // of the session that answers
	User  string
	Own   Count
	Kept  int
	Brief Count
	Draft Count
	// NotesOf is whose notes they are, "" for a guest's.
	NotesOf string
	Notes   Count
	Cart    Count
	List    Count
	Total   Count
	// At is what the users named have, in the order in which they were named.
	At []User
	// Session is what the session named has, whatever the cookie says.
	Session Session
}

// A User is what is stored for one.
type User struct {
	NotesOf           string // whose the notes under this key are, by what they say
	Notes, Cart, List Count
}

// A Session is what is stored for one.
type Session struct {
	Found bool // it has a state of its own and has not ended
	Own   Count
	Kept  int
}

// all answers with All as JSON, for the browser, the users and the session
// that the request names. It uses the session, but changes nothing.
func (x *site) all(w http.ResponseWriter, r *http.Request) error {
	ctx, by := r.Context(), r.FormValue("by")
	var a All
	_, err := x.own.Update(ctx, func(*Own) error { return nil })
	switch {
	case stay.CodeOf(err) == stay.ErrEnded:
		a.Ended = true
	case err != nil:
		return err
	}
	s := stay.SessionFrom(ctx)
	a.ID, a.User = s.ID(), s.User()
	own, err := x.own.Get(ctx)
	if err != nil {
		return err
	}
	a.Own, a.Kept = own.Tally.count(by), own.Kept
	notes, err := x.notes.Get(ctx)
	if err != nil {
		return err
	}
	a.NotesOf, a.Notes = notes.User, notes.Tally.count(by)
	for _, tally := range []struct {
		state *stay.State[Tally]
		to    *Count
	}{{x.brief, &a.Brief}, {x.draft, &a.Draft}, {x.cart, &a.Cart}, {x.list, &a.List}, {x.total, &a.Total}} {
		t, err := tally.state.Get(ctx)
		if err != nil {
			return err
		}
		*tally.to = t.count(by)
	}
	for _, user := range r.Form["user"] {
		u, err := x.user(ctx, user, by)
		if err != nil {
			return err
		}
		a.At = append(a.At, u)
	}
	if id := r.FormValue("session"); id != "" {
		own, err := found(x.own.At(id).Get(ctx))
		if err != nil {
			return err
		}
		if own != nil {
			a.Session = Session{Found: true, Own: own.Tally.count(by), Kept: own.Kept}
		}
	}
	return json.NewEncoder(w).Encode(a)
}

func (x *site) user(ctx context.Context, user, by string) (u User, err error) {
	notes, err := found(x.notes.At(user).Get(ctx))
	if err != nil {
		return u, err
	}
	cart, err := found(x.cart.At(user).Get(ctx))
	if err != nil {
		return u, err
	}
	list, err := found(x.list.At(user).Get(ctx))
	if err != nil {
		return u, err
	}
	none := Count{Whole: true}
	u = User{NotesOf: user, Notes: none, Cart: none, List: none}
	if notes != nil {
		u.NotesOf, u.Notes = notes.User, notes.Tally.count(by)
	}
	if cart != nil {
		u.Cart = cart.count(by)
	}
	if list != nil {
		u.List = list.count(by)
	}
	return u, nil
}

// found takes what is not there for nil.
func found[S any](s *S, err error) (*S, error) {
	if errors.Is(err, stay.ErrNotFound) {
		return nil, nil
	}
	return s, err
}
