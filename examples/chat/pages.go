package main

import (
	"context"
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

var pages = template.Must(template.New("").Funcs(template.FuncMap{"colour": colour, "initial": initial, "once": web.Once}).Parse(pageHTML))

// A page is what the templates show.
type page struct {
	*http.Request
	Room *Room
	All  []*Room // as in rooms
	Seen *Seen
	Here []string // who else has the room open
	Say  *web.Form[Say]
}

// page looks at everything that the room shows. It is one function for the page and
// for the parts that a stream brings.
func (c *chat) page(r *http.Request) (*page, error) {
	ctx := r.Context()
	i := slices.Index(rooms, r.PathValue("room"))
	if i < 0 {
		return nil, stay.ErrNotFound
	}
	seen, err := web.Look(ctx, c.seen)
	if err != nil {
		return nil, err
	}
	p := &page{Request: r, Seen: seen, Room: &Room{Name: rooms[i]}, Say: web.NewForm(Say{})}
	if seen.User == "" {
		return p, nil
	}
	if p.All, err = c.all(ctx); err == nil {
		p.Room = p.All[i]
	}
	return p, err
}

// all looks at all rooms.
func (c *chat) all(ctx context.Context) ([]*Room, error) {
	all := make([]*Room, len(rooms))
	for i, name := range rooms {
		var err error
		if all[i], err = web.Look(ctx, c.rooms.At(name)); err != nil {
			return nil, err
		}
		all[i].Name = name // also if nobody has said anything there
	}
	return all, nil
}

// others returns who has the room open, other than the user.
func (c *chat) others(r *http.Request, user string) ([]string, error) {
	present, err := c.here.At(r.PathValue("room")).Present(r.Context())
	if err != nil {
		return nil, err
	}
	var names []string
	for _, p := range present {
		if p.User != user && p.User != "" {
			names = append(names, p.User)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil // somebody may have several devices
}

// PageField keeps a page of one user from being sent after another one has
// signed in.
func (p *page) PageField() template.HTML { return web.PageField(p.Request) }

// MaxText is the greatest length of a message.
func (p *page) MaxText() int { return maxText }

// A tab is a room as the user may choose it.
type tab struct {
	Name    string
	Unread  string // "" if there is nothing
	Current bool
}

// Tabs returns all rooms.
func (p *page) Tabs() []tab {
	tabs := make([]tab, len(p.All))
	for i, room := range p.All {
		tabs[i] = tab{room.Name, p.unread(room), room.Name == p.Room.Name}
	}
	return tabs
}

// unread says how many messages of a room the user has not read, "" if there are none.
func (p *page) unread(room *Room) string {
	n, more := p.Seen.unread(room)
	switch {
	case n == 0:
		return ""
	case more:
		return fmt.Sprint(n, "+")
	}
	return fmt.Sprint(n)
}

// Unread is that of the page's room.
func (p *page) Unread() string { return p.unread(p.Room) }

// Title is that of the browser's tab.
func (p *page) Title() string {
	title := p.Room.Name + " · Stay chat"
	if n := p.Unread(); n != "" {
		title = "(" + n + ") " + title
	}
	return title
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
		lines[i] = line{Message: m, Mine: m.From == p.Seen.User, New: p.Seen.isNew(p.Room.Name, m), First: true}
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
