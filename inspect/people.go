package inspect

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/keyspace"
)

// mostSessions is how many sessions one page looks at to find those with a hash.
const mostSessions = 2000

// A sessionRow is a session in a list.
type sessionRow struct {
	Label, Ref         string
	User, UserRef      string // "" for a guest
	Device             string
	Began, Seen, Until *moment
	LoggedIn           *moment
	Problem            string // its record cannot be read
}

func (h *handler) sessionRow(s *stay.Session, err error) sessionRow {
	now, id := h.now(), s.ID()
	row := sessionRow{
		Label: keyspace.Hash(id), Ref: h.refs.seal(refSession, id), User: printable(s.User()), Device: printable(s.Device()),
		Began: momentOf(s.Created(), now), Seen: momentOf(s.LastSeen(), now), Until: momentOf(s.Expires(), now),
		LoggedIn: momentOf(s.LoggedIn(), now), Problem: problem(err),
	}
	if user := s.User(); user != "" {
		row.UserRef = h.refs.seal(refUser, user)
	}
	return row
}

type sessionList struct {
	paging
	Rows []sessionRow
}

// sessions lists all sessions.
func (h *handler) sessions(r *http.Request) *page {
	query := r.URL.Query()
	list := &sessionList{}
	p := &page{Title: "Sessions", Here: "sessions", Parts: []part{{"sessions", "sessions", list}}}
	after, ok := h.after(query.Get("after"))
	if !ok {
		list.Problem = "This link is of another process, or from before a restart: this is the first page."
	}
	list.Query, list.Continued = query.Get("q"), after != ""
	list.First = encode(url.Values{"q": {list.Query}})
	hash := strings.ToLower(strings.TrimPrefix(strings.TrimPrefix(list.Query, "session "), "#"))
	n, last, next := 0, "", ""
	for s, err := range h.app.AllSessions(r.Context(), after) {
		if s == nil {
			list.Problem, p.status = problem(err), http.StatusServiceUnavailable
			break
		}
		if n == mostSessions {
			next, list.Scanned = last, n
			break
		}
		n++
		if id := s.ID(); strings.HasPrefix(keyspace.Hash(id), hash) {
			if len(list.Rows) == pageSize {
				next = last
				break
			}
			list.Rows = append(list.Rows, h.sessionRow(s, err))
		}
		last = s.ID()
	}
	if next != "" {
		list.Next = encode(url.Values{"q": {list.Query}, "after": {h.refs.seal(refAfter, next)}})
	}
	return p
}

type oneSession struct {
	sessionRow
	States  []row
	Problem string
	Changes bool
}

// session shows one session, and what it has.
func (h *handler) session(r *http.Request) *page {
	id, ok := h.refs.open(refSession, r.URL.Query().Get("at"))
	if !ok {
		return h.stale()
	}
	found, places, err := h.core.Session(r.Context(), id)
	if err != nil {
		return h.failure(err)
	}
	one := &oneSession{sessionRow: h.sessionRow(found.(*stay.Session), nil), Changes: h.changes}
	one.States, err = h.rows(r, places)
	one.Problem = problem(err)
	return &page{Title: "Session " + one.Label, Here: "sessions", Parts: []part{{"session", "session", one}}}
}

// rows are the states at some places, also where there is nothing.
func (h *handler) rows(r *http.Request, places []access.Place) (rows []row, err error) {
	found, err := h.core.Look(r.Context(), places)
	strategies := h.strategies()
	for _, f := range found {
		rows = append(rows, h.row(f, strategies[f.Module] == "PerSession"))
	}
	return rows, err
}

type userRow struct{ Name, Hash, Ref, Problem string }

type userList struct {
	paging
	Rows []userRow
}

// users lists the users who are logged in somewhere.
func (h *handler) users(r *http.Request) *page {
	query := r.URL.Query()
	list := &userList{}
	p := &page{Title: "Users", Here: "users", Parts: []part{{"users", "users", list}}}
	after, ok := h.after(query.Get("after"))
	if !ok {
		list.Problem = "This link is of another process, or from before a restart: this is the first page."
	}
	list.Query, list.Continued = query.Get("q"), after != ""
	list.First = encode(url.Values{"q": {list.Query}})
	last := ""
	for user, err := range h.core.Users(r.Context(), list.Query, after) {
		if user == "" {
			list.Problem, p.status = problem(err), http.StatusServiceUnavailable
			break
		}
		if len(list.Rows) == pageSize {
			list.Next = encode(url.Values{"q": {list.Query}, "after": {h.refs.seal(refAfter, last)}})
			break
		}
		list.Rows = append(list.Rows, userRow{printable(user), keyspace.Hash(user), h.refs.seal(refUser, user), problem(err)})
		last = user
	}
	return p
}

type oneUser struct {
	userRow
	Sessions []sessionRow
	More     bool // there are more sessions
	States   []row
	Changes  bool
}

// mostOfUser bounds how many sessions of a user are shown.
const mostOfUser = 100

// user shows one user: the sessions, and the states on all devices.
func (h *handler) user(r *http.Request) *page {
	user, ok := h.refs.open(refUser, r.URL.Query().Get("at"))
	if !ok {
		return h.stale()
	}
	one := &oneUser{userRow: userRow{Name: printable(user), Hash: keyspace.Hash(user), Ref: h.refs.seal(refUser, user)}, Changes: h.changes}
	p := &page{Title: "User " + one.Name, Here: "users", Parts: []part{{"user", "user", one}}}
	sessions, more, err := h.core.SessionsOf(r.Context(), user, mostOfUser)
	if one.More = more; err != nil {
		one.Problem, p.status = problem(err), http.StatusServiceUnavailable
	}
	for _, s := range sessions {
		one.Sessions = append(one.Sessions, h.sessionRow(s.(*stay.Session), nil))
	}
	var places []access.Place
	for _, m := range h.core.Modules() {
		if m.Strategy == "PerUser" {
			places = append(places, access.Place{Module: m.Name, Key: user})
		}
	}
	if one.States, err = h.rows(r, places); err != nil {
		one.Problem, p.status = problem(err), http.StatusServiceUnavailable
	}
	return p
}

// endSession ends a session.
func (h *handler) endSession(r *http.Request) (to string, failed *page) {
	id, ok := h.refs.open(refSession, r.PostFormValue("at"))
	if !ok {
		return "", h.stale()
	}
	s, _, err := h.core.Session(r.Context(), id)
	if err == nil {
		err = s.(*stay.Session).Destroy(r.Context())
	}
	h.tell(r, "stay: a session was ended in the inspector", id, err)
	if err != nil && !isNotFound(err) { // one that has ended meanwhile is no failure
		return "", h.failure(err)
	}
	return "sessions?done=ended", nil
}

// signOut ends all sessions of a user.
func (h *handler) signOut(r *http.Request) (to string, failed *page) {
	user, ok := h.refs.open(refUser, r.PostFormValue("at"))
	if !ok {
		return "", h.stale()
	}
	err := h.app.Revoke(r.Context(), user)
	h.tell(r, "stay: a user was signed out everywhere in the inspector", user, err)
	if err != nil {
		return "", h.failure(err)
	}
	return "user?done=signed-out&at=" + url.QueryEscape(h.refs.seal(refUser, user)), nil
}

// tell logs a change: of whom, by a hash, and by whom, if the visitor has a
// session.
func (h *handler) tell(r *http.Request, what, key string, err error) {
	attrs := []slog.Attr{slog.String("key_hash", keyspace.Hash(key))}
	if by := stay.SessionFrom(r.Context()); by != nil {
		attrs = append(attrs, slog.Any("by", by))
	}
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.Any("error", err))
	}
	h.log.LogAttrs(r.Context(), level, what, attrs...)
}
