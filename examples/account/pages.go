package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

//go:embed page.html
var pageHTML string

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"once":  web.Once,
	"money": func(cents int) string { return fmt.Sprintf("€%d.%02d", cents/100, cents%100) },
	"tea":   teaOf,
}).Parse(pageHTML))

// A page is what the templates show.
type page struct {
	User    string // "" for a guest
	Profile *Profile
	Cart    *Cart
	Browser *Browser
	Devices []device
	Tea     *Tea // on the page of one
	Notice  string
}

// Teas, Colours and MaxTins are the same on every page.
func (page) Teas() []Tea       { return teas }
func (page) Colours() []string { return colours }
func (page) MaxTins() int      { return maxTins }

// Lines returns what is in the cart, in the order of the shop.
func (p page) Lines() []line {
	var lines []line
	for _, t := range teas {
		if n := p.Cart.Tins[t.ID]; n > 0 {
			lines = append(lines, line{t, n, n * t.Price})
		}
	}
	return lines
}

// Total is the price of the cart.
func (p page) Total() (cents int) {
	for _, l := range p.Lines() {
		cents += l.Price
	}
	return cents
}

// Others reports whether there is another device to sign out.
func (p page) Others() bool { return len(p.Devices) > 1 }

type line struct {
	Tea   Tea
	Tins  int
	Price int
}

// A device is one session of the user.
type device struct {
	ID, Name      string
	Created, Seen time.Time
	This          bool
}

// page reads everything that a whole page shows.
func (s *shop) page(ctx context.Context) (*page, error) {
	var p page
	var err error
	if p.Profile, err = s.profiles.Get(ctx); err != nil {
		return nil, err
	}
	if p.Cart, err = s.carts.Get(ctx); err != nil {
		return nil, err
	}
	if p.Browser, err = s.browsers.Get(ctx); err != nil {
		return nil, err
	}
	p.User = stay.SessionFrom(ctx).User()
	p.Devices, err = s.devices(ctx)
	return &p, err
}

// devices lists the sessions of the user; a guest has none.
func (s *shop) devices(ctx context.Context) ([]device, error) {
	me := stay.SessionFrom(ctx)
	user := me.User()
	if user == "" {
		return nil, nil
	}
	var list []device
	for session, err := range s.app.Sessions(ctx, user) {
		if err != nil {
			return nil, err
		}
		// The state of another session: At, and not a context with that
		// session, so that looking at it does not count as a use of the
		// session.
		b, err := s.browsers.At(session.ID()).Get(ctx)
		if errors.Is(err, stay.ErrNotFound) {
			b, err = &Browser{Name: "A browser"}, nil // or it has just ended
		}
		if err != nil {
			return nil, err
		}
		list = append(list, device{session.ID(), b.Name, session.Created().UTC(), session.LastSeen().UTC(), session.ID() == me.ID()})
	}
	return list, nil
}

func (s *shop) home(w http.ResponseWriter, r *http.Request) error {
	p, err := s.page(r.Context())
	if err != nil {
		return err
	}
	if p.User == "" && r.URL.Query().Has("ended") {
		p.Notice = "This browser was signed out. It can sign in again in a minute."
	}
	return render(w, "page", p)
}

// tea shows one tea, and records that this browser has seen it. A GET records
// it: it does no harm if a link on another site leads here.
func (s *shop) tea(w http.ResponseWriter, r *http.Request) error {
	t := teaOf(r.PathValue("id"))
	if t == nil {
		return stay.ErrNotFound
	}
	_, err := s.browsers.Update(r.Context(), func(b *Browser) error {
		b.view(t.ID)
		return nil
	})
	// A session that has ended can be read but not changed.
	if err != nil && !errors.Is(err, stay.ErrEnded) {
		return err
	}
	p, err := s.page(r.Context())
	if err != nil {
		return err
	}
	p.Tea = t
	return render(w, "page", p)
}

// now updates the cart and the devices of an open page when the visitor looks
// at its window again. If another user is signed in by now, or none, the whole
// page is a different one.
func (s *shop) now(w http.ResponseWriter, r *http.Request) error {
	p, err := s.page(r.Context())
	if err != nil {
		return err
	}
	if p.User != r.URL.Query().Get("user") {
		w.Header().Set("HX-Refresh", "true")
		return nil
	}
	return render(w, "now", p)
}

// showCart answers a change of the cart.
func (s *shop) showCart(w http.ResponseWriter, r *http.Request, c *Cart) error {
	if !isHTMX(r) {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}
	return render(w, "cart", &page{User: stay.SessionFrom(r.Context()).User(), Cart: c})
}

// showDevices answers a change of the list.
func (s *shop) showDevices(w http.ResponseWriter, r *http.Request) error {
	if !isHTMX(r) {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}
	list, err := s.devices(r.Context())
	if err != nil {
		return err
	}
	return render(w, "devices", &page{Devices: list})
}

// showError answers with an error, as a page or into the notice of the page
// that is shown. A session that another device ended begins again on the first
// page.
func showError(w http.ResponseWriter, r *http.Request, status int, err error) {
	if errors.Is(err, stay.ErrEnded) {
		if isHTMX(r) {
			w.Header().Set("HX-Redirect", "/?ended=1")
			return
		}
		http.Redirect(w, r, "/?ended=1", http.StatusSeeOther)
		return
	}
	p := &page{Notice: message(status, err), Profile: &profileModule.Initial}
	if isHTMX(r) {
		w.Header().Set("HX-Retarget", "#notice")
		w.Header().Set("HX-Reswap", "innerHTML")
		_ = render(w, "notice", p)
		return
	}
	_ = render(w, "error", p)
}

// message returns the text for visitors about an error.
func message(status int, err error) string {
	fields := stay.FieldErrors(err)
	if len(fields) == 0 {
		return http.StatusText(status) + "."
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		lines = append(lines, name+": "+fields[name])
	}
	return strings.Join(lines, ", ") + "."
}

func render(w http.ResponseWriter, name string, p *page) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return pages.ExecuteTemplate(w, name, p)
}
