package crash_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// A resender makes actions, each with an id, and sends every one of them at least
// twice: at once, on two connections at the same time, or later, through logins
// and restarts of the server. It is one visitor after the other, who all log in
// as the same user, and a queue that delivers messages.
type resender struct {
	r      *resending
	name   string
	inbox  string // which others share
	random *rand.Rand
	lines  [2]*line

	cookie   string
	loggedIn bool
	logsIn   bool // a login has no answer yet
	logins   int
	life     int // what this visitor still does before the next

	made int            // actions
	open *action        // one that may have no answer yet
	late []*action      // those that are still to be sent again
	want [ledgers]tally // what their ledgers must have
}

// The ledgers of a resender: of the visitor, of the user, and of the queue.
const (
	ownLedger = iota
	cartLedger
	inboxLedger
	ledgers
)

// A tally is what a ledger of the server says.
type tally struct {
	actions int
	sum     uint64
}

func (t *tally) add(number uint64) {
	t.actions++
	t.sum += number
}

// An action is what is sent with one id.
type action struct {
	path, id string
	ledger   int
	unsure   bool // a sending has no answer, and may have taken effect
}

// A resending is what all resenders do together.
type resending struct {
	address string
	made    atomic.Int64 // actions
	sent    atomic.Int64 // sendings of them
	enough  int64        // so many actions end a round
	reached chan struct{}
	fail    func(format string, args ...any)
}

// errGone is what a resender gets from a server that ends or has ended.
var errGone = errors.New("the server has gone")

// A line is a connection that stays open.
type line struct {
	conn net.Conn
	in   *bufio.Reader
}

// A said is what is of interest in an answer.
type said struct {
	status   int
	replayed bool
	body     string
}

func (s *resender) dial() error {
	for i := range s.lines {
		s.hangUp(i)
		conn, err := net.Dial("tcp", s.r.address)
		if err != nil {
			return errGone
		}
		s.lines[i] = &line{conn, bufio.NewReader(conn)}
	}
	return nil
}

func (s *resender) hangUp(i int) {
	if l := s.lines[i]; l != nil {
		_ = l.conn.Close()
		s.lines[i] = nil
	}
}

// ask sends a request on a connection.
func (s *resender) ask(on int, method, path, header string) error {
	request := method + " " + path + " HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\n" + header
	if s.cookie != "" {
		request += "Cookie: stay=" + s.cookie + "\r\n"
	}
	if err := s.lines[on].conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(s.lines[on].conn, request+"\r\n"); err != nil {
		return errGone
	}
	return nil
}

// hear reads the answer that comes next on a connection.
func (s *resender) hear(on int) (said, error) {
	res, err := http.ReadResponse(s.lines[on].in, nil)
	if err != nil {
		return said{}, errGone
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		return said{}, errGone
	}
	if res.StatusCode == http.StatusServiceUnavailable { // it is about to end
		return said{}, errGone
	}
	for _, text := range res.Header["Set-Cookie"] {
		if value, found := strings.CutPrefix(text, "stay="); found {
			s.cookie, _, _ = strings.Cut(value, ";")
		}
	}
	return said{res.StatusCode, res.Header.Get("Idempotency-Replayed") == "true", string(body)}, nil
}

// do makes a request on the first connection.
func (s *resender) do(method, path string) (said, error) {
	if err := s.ask(0, method, path, ""); err != nil {
		return said{}, err
	}
	a, err := s.hear(0)
	if err == nil && a.status >= 300 {
		s.r.fail("%s: %s %s: %d %s", s.name, method, path, a.status, a.body)
	}
	return a, err
}

// send sends an action on a connection.
func (s *resender) send(on int, a *action) error {
	s.r.sent.Add(1)
	header := ""
	if a.ledger != inboxLedger && !strings.Contains(a.path, "_stay_once=") {
		header = "Idempotency-Key: \"" + a.id + "\"\r\n"
	}
	return s.ask(on, "POST", a.path, header)
}

// answered reads the answer to an action.
func (s *resender) answered(on int, a *action) (said, error) {
	got, err := s.hear(on)
	if err == nil && got.status >= 300 {
		s.r.fail("%s: %s %s: %d %s", s.name, a.id, a.path, got.status, got.body)
	}
	return got, err
}

// again sends an action that was answered before.
func (s *resender) again(a *action) error {
	if err := s.send(0, a); err != nil {
		return err
	}
	got, err := s.answered(0, a)
	if err == nil && !got.replayed {
		s.r.fail("%s: %s was made again", s.name, a.id)
	}
	return err
}

// begin sends an action for the first time since it was made or since the server
// has started. On two connections at once, one of both makes it.
func (s *resender) begin(on ...int) error {
	a := s.open
	unsure := a.unsure
	a.unsure = true
	for _, i := range on {
		if err := s.send(i, a); err != nil {
			return err
		}
	}
	made := 0
	for _, i := range on {
		got, err := s.answered(i, a)
		if err != nil {
			return err
		}
		if !got.replayed {
			made++
		}
	}
	if made > 1 || made == 0 && !unsure {
		s.r.fail("%s: of %d sendings of %s %d say that they have made it", s.name, len(on), a.id, made)
	}
	a.unsure, s.open = false, nil
	return nil
}

// next makes another action.
func (s *resender) next() *action {
	s.made++
	number := s.random.Uint64()
	a := &action{id: fmt.Sprint(s.name, "-", s.made)}
	switch n := s.random.IntN(20); {
	case n < 8:
		a.ledger, a.path = ownLedger, fmt.Sprint("/own/add?number=", number)
	case n < 15:
		a.ledger, a.path = cartLedger, fmt.Sprint("/cart/add?number=", number)
	default:
		a.ledger, a.path = inboxLedger, fmt.Sprintf("/deliver?inbox=%s&id=%s&number=%d", s.inbox, a.id, number)
	}
	if a.ledger != inboxLedger && s.random.IntN(3) == 0 { // as a form
		a.path += "&_stay_once=" + a.id
	}
	s.want[a.ledger].add(number)
	if s.r.made.Add(1) == s.r.enough {
		close(s.r.reached)
	}
	return a
}

// act makes an action and sends it again, or keeps that for later.
func (s *resender) act() error {
	a := s.next()
	s.open = a
	how := s.random.IntN(3)
	if how == 0 { // a double click
		return s.begin(0, 1)
	}
	// Others share the inbox, and may make it forget what is sent too late.
	if how == 1 || a.ledger == inboxLedger {
		return s.beginAndAgain()
	}
	if err := s.begin(0); err != nil {
		return err
	}
	s.late = append(s.late, a)
	return nil
}

// sendLate sends what is still to be sent again, from a place on.
func (s *resender) sendLate(from int) error {
	for len(s.late) > from {
		a := s.late[len(s.late)-1]
		if err := s.again(a); err != nil {
			return err
		}
		s.late = s.late[:len(s.late)-1]
	}
	return nil
}

// resolve sends again what has no answer, of a server that has gone.
func (s *resender) resolve() error {
	if err := s.dial(); err != nil {
		return err
	}
	if s.logsIn {
		if err := s.logIn(); err != nil {
			return err
		}
	}
	if s.open == nil {
		return nil
	}
	return s.beginAndAgain()
}

// arrive begins a visitor. The first answer gives the cookie, so nothing is known
// of a visitor whose first answer is lost.
func (s *resender) arrive() error {
	s.cookie, s.loggedIn, s.want[ownLedger] = "", false, tally{}
	if _, err := s.do("POST", "/own/add?number=1"); err != nil {
		s.cookie = ""
		return err
	}
	s.want[ownLedger].add(1)
	s.life = 50 + s.random.IntN(100)
	return nil
}

// logIn makes the visitor a user, who takes along what the guest has done.
func (s *resender) logIn() error {
	s.logsIn = true
	if _, err := s.do("POST", "/login?user="+s.name); err != nil {
		return err
	}
	s.logsIn, s.loggedIn = false, true
	s.logins++
	return nil
}

// logInWhile logs in while an action is on its way, which may come before the
// login, or too late: then it is sent again with the new cookie.
func (s *resender) logInWhile() error {
	a := s.next()
	s.open, s.logsIn, a.unsure = a, true, true
	if err := s.send(1, a); err != nil {
		return err
	}
	if err := s.ask(0, "POST", "/login?user="+s.name, ""); err != nil {
		return err
	}
	got, err := s.hear(1)
	if err != nil {
		return err
	}
	switch early := got.status < 300; {
	case early && got.replayed, !early && got.status != http.StatusUnauthorized:
		s.r.fail("%s: %s while the visitor logs in: %+v", s.name, a.id, got)
	case early:
		s.open = nil
		s.late = append(s.late, a)
	default:
		a.unsure = false
	}
	if got, err = s.hear(0); err != nil {
		return err
	}
	if got.status >= 300 {
		s.r.fail("%s: a login while %s is on its way: %+v", s.name, a.id, got)
	}
	s.logsIn, s.loggedIn = false, true
	s.logins++
	if s.open == nil {
		return nil
	}
	return s.beginAndAgain()
}

// beginAndAgain sends what has no answer, and once more.
func (s *resender) beginAndAgain() error {
	a := s.open
	if err := s.begin(0); err != nil {
		return err
	}
	s.late = append(s.late, a)
	return s.sendLate(len(s.late) - 1)
}

// step does one thing.
func (s *resender) step() error {
	const most = 40 // fewer than a state remembers
	switch {
	case s.cookie == "":
		return s.arrive()
	case len(s.late) > 0 && s.random.IntN(most) < len(s.late):
		s.random.Shuffle(len(s.late), func(i, j int) { s.late[i], s.late[j] = s.late[j], s.late[i] })
		return s.sendLate(s.random.IntN(len(s.late)))
	case s.life == 0:
		if err := s.finish(); err != nil {
			return err
		}
		return s.arrive()
	case !s.loggedIn && s.random.IntN(40) == 0:
		if s.random.IntN(2) == 0 {
			return s.logInWhile()
		}
		return s.logIn()
	}
	s.life--
	return s.act()
}

// finish sends all that is to be sent again, and compares the ledgers of the
// visitor and of the user.
func (s *resender) finish() error {
	if s.cookie == "" {
		if err := s.arrive(); err != nil {
			return err
		}
	}
	if !s.loggedIn {
		if err := s.logIn(); err != nil {
			return err
		}
	}
	if err := s.sendLate(0); err != nil {
		return err
	}
	got, err := s.look()
	if err != nil {
		return err
	}
	for l, of := range []string{"visitor", "user"} {
		if got[l] != s.want[l] {
			s.r.fail("%s: the ledger of the %s has %+v, want %+v", s.name, of, got[l], s.want[l])
		}
	}
	return nil
}

// look returns what the ledgers have.
func (s *resender) look() (got [ledgers]tally, err error) {
	a, err := s.do("GET", "/ledgers?inbox="+s.inbox)
	if err != nil {
		return got, err
	}
	_, err = fmt.Sscan(a.body, &got[ownLedger].actions, &got[ownLedger].sum, &got[cartLedger].actions, &got[cartLedger].sum, &got[inboxLedger].actions, &got[inboxLedger].sum)
	return got, err
}
