package main

import (
	"context"
	_ "embed"
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
	Seen *Seen
	All  []*Room
	Here []string // who else has the room open
	Say  *web.Form[Say]
}

// page looks at the room and at how far the user has read. It is one function for the
// page and for the parts that a stream brings.
func (c *chat) page(r *http.Request) (*page, error) {
	name := r.PathValue("room")
	if !slices.Contains(rooms, name) {
		return nil, stay.ErrNotFound
	}
	seen, err := web.Look(r.Context(), c.seen)
	if err != nil {
		return nil, err
	}
	p := &page{Request: r, Seen: seen, Room: &Room{Name: name}, Say: web.NewForm(Say{})}
	if seen.User != "" {
		p.Room, err = c.at(r.Context(), name)
	}
	return p, err
}

// at looks at a room.
func (c *chat) at(ctx context.Context, name string) (*Room, error) {
	room, err := web.Look(ctx, c.rooms.At(name))
	if err != nil {
		return nil, err
	}
	room.Name = name // also if nobody has said anything there
	return room, nil
}

// all looks at all rooms.
func (c *chat) all(ctx context.Context) (all []*Room, err error) {
	for _, name := range rooms {
		room, err := c.at(ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, room)
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

// Unread is the number of unread messages of the page's room.
func (p *page) Unread() string { return p.Seen.Unread(p.Room) }

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
