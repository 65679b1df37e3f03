package main

import (
	"crypto/rand"
	_ "embed"
	"fmt"
	"hash/fnv"
	"html/template"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

//go:embed page.html
var pageHTML string

var pages = template.Must(template.New("").Funcs(template.FuncMap{"colour": colour, "initial": initial}).Parse(pageHTML))

// A page is what the templates show.
type page struct {
	*http.Request
	User string
	Room *Room
	Seen *Seen
	Say  *web.Form[Say]
}

// page reads everything that the room shows.
func (c *chat) page(r *http.Request) (*page, error) {
	ctx := r.Context()
	p := &page{Request: r, User: stay.SessionFrom(ctx).User(), Say: web.NewForm(Say{ID: rand.Text()})}
	var err error
	if p.Room, err = c.room.Get(ctx); err != nil {
		return nil, err
	}
	p.Seen, err = c.seen.Get(ctx)
	return p, err
}

// PageField keeps a page of one user from being sent after another one has
// signed in.
func (p *page) PageField() template.HTML { return web.PageField(p.Request) }

// MaxText is the greatest length of a message.
func (p *page) MaxText() int { return maxText }

// Unread says how many messages the user has not read, "" if there are none.
func (p *page) Unread() string {
	n, more := p.Seen.Unread(p.Room, p.User)
	switch {
	case n == 0:
		return ""
	case more:
		return fmt.Sprintf("%d+ unread", n)
	}
	return fmt.Sprintf("%d unread", n)
}

// A line is a message as the user sees it.
type line struct {
	Message
	Mine, New bool
	// First says that it stands below a message of somebody else, or of another
	// time.
	First bool
}

// Lines returns the messages, the latest first.
func (p *page) Lines() []line {
	lines := make([]line, len(p.Room.Messages))
	for i, m := range p.Room.Messages {
		l := line{Message: m, Mine: m.From == p.User, First: true}
		l.New = !l.Mine && m.Number > p.Seen.Last
		lines[i] = l
	}
	slices.Reverse(lines)
	for i := 1; i < len(lines); i++ {
		above := lines[i-1]
		lines[i].First = lines[i].From != above.From || lines[i].New != above.New || above.At.Sub(lines[i].At) > 5*time.Minute
	}
	return lines
}

// Node is the address of the process that has made the page.
func (p *page) Node() string {
	if addr, ok := p.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return addr.String()
	}
	return ""
}

// colour is one of the colours that chat.css has for people.
func colour(name string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return "c" + strconv.Itoa(int(h.Sum32()%6))
}

// initial is what stands in the circle beside a message.
func initial(name string) string {
	r, _ := utf8.DecodeRuneInString(name)
	return string(unicode.ToUpper(r))
}

func render(w http.ResponseWriter, name string, p *page) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return pages.ExecuteTemplate(w, name, p)
}
