package inspect

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

//go:embed assets
var files embed.FS

// An asset is a file that pages load.
type asset struct {
	kind string
	data []byte
}

var assets = map[string]asset{
	"style.css": {"text/css; charset=utf-8", mustRead("assets/style.css")},
	"icon.svg":  {"image/svg+xml", mustRead("assets/icon.svg")},
	"live.js":   {"text/javascript; charset=utf-8", mustRead("assets/live.js")},
}

func mustRead(name string) []byte {
	data, err := files.ReadFile(name)
	if err != nil {
		panic(err) // it was there at compile time
	}
	return data
}

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"number": number[int], "number64": number[int64], "revision": number[uint64], "size": size[int], "size64": size[int64],
	"lasts": lasts, "printable": printable, "watching": watching,
}).ParseFS(files, "assets/*.html"))

// A page consists of parts. Each is a section with an id, so that it can be
// replaced alone.
type page struct {
	Title, Here string // Here is the page of the menu that this one is below
	Notice      string
	Changes     bool
	Live        bool // a stream keeps the parts up to date
	Parts       []part
	status      int    // 0 = 200
	trouble     string // why there is only a part that says so

	// Without JavaScript the browser can load the page again and again.
	Refresh           bool
	Refreshing, Still template.URL // the queries of the page with and without that
}

// A part is what one section of a page shows.
type part struct {
	ID, template string
	data         any
}

// render writes the content of the section.
func (p part) render(w io.Writer) error { return templates.ExecuteTemplate(w, p.template, p.data) }

// HTML is the content of the section.
func (p part) HTML() (template.HTML, error) {
	var b bytes.Buffer
	err := p.render(&b)
	return template.HTML(b.String()), err // a template has escaped it
}

func (p *page) render(w io.Writer) error { return templates.ExecuteTemplate(w, "page", p) }

// A pageKind is a page that a GET shows.
type pageKind struct {
	show   func(*handler, *http.Request) *page
	pace   time.Duration // how often its stream looks again; 0 = it has none
	shared bool          // it is the same for everybody who may see it
}

// What a page costs decides its pace: lists are read from the store.
const (
	quick  = 2 * time.Second
	steady = 5 * time.Second
)

// pages are those that there are, by the last element of their path.
var pages = map[string]pageKind{
	"":         {(*handler).overview, quick, true},
	"module":   {(*handler).module, steady, false},
	"state":    {(*handler).state, quick, false},
	"sessions": {(*handler).sessions, steady, false},
	"session":  {(*handler).session, steady, false},
	"users":    {(*handler).users, steady, false},
	"user":     {(*handler).user, steady, false},
	"streams":  {(*handler).streams, quick, true},
}

// posts are the changes, by the last element of their path. Each returns the page
// to go to, or one that says why nothing has changed.
var posts = map[string]func(*handler, *http.Request) (to string, failed *page){
	"end-session": (*handler).endSession,
	"sign-out":    (*handler).signOut,
}

// notices are what a page says after a change.
var notices = map[string]string{
	"ended":      "The session has ended, with its states.",
	"signed-out": "The user is signed out everywhere.",
}

// failure is a page that says why there is no other.
func (h *handler) failure(err error) *page {
	p := &page{Title: "Not available", status: web.Status(err), Parts: []part{{"failure", "failure", problem(err)}}}
	if p.status >= 500 {
		p.trouble = problem(err)
	}
	return p
}

// stale is the page for a link that does not lead anywhere.
func (h *handler) stale() *page {
	return &page{Title: "Not found", status: http.StatusNotFound, Parts: []part{{
		"failure", "failure", "This link is of another process, or from before a restart. Begin at the overview.",
	}}}
}

// problem says to a person why something cannot be shown. The cause may name
// people, or quote what is stored, so it is in the log only, if anywhere.
func problem(err error) string {
	if err == nil {
		return ""
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "The store has not answered in time."
	}
	var e *stay.Error
	if errors.As(err, &e) && e.Message != "" {
		return strings.ToUpper(e.Message[:1]) + e.Message[1:] + " (" + string(e.Code) + ")."
	}
	switch code := stay.CodeOf(err); code {
	case stay.ErrUnavailable:
		return "The store does not answer, or has failed (" + string(code) + ")."
	default:
		return "This cannot be shown (" + string(code) + ")."
	}
}
