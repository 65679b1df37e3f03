package main

import (
	"embed"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

//go:embed assets
var assets embed.FS

// policy lets the page use what this server serves, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; " +
	"form-action 'none'; base-uri 'none'; frame-ancestors 'none'"

// A List is what a browser wants to buy, in all its tabs.
type List struct {
	Items []Item `json:"items"`
}

// An Item is one thing to buy.
type Item struct {
	Name string `json:"name"`
	// Count is how many: an action that is run twice would show.
	Count int `json:"count"`
}

// An Add is the payload of "add", a Remove that of "remove".
type (
	Add struct {
		Item string `json:"item"`
	}
	Remove struct {
		Item string `json:"item"`
	}
)

const (
	maxItems = 50
	maxName  = 40 // characters
)

// Module is a definition, plain data: the program and its tests each register
// it with their own Apps.
var Module = stay.Module[List]{
	Name:    "list",
	Initial: List{Items: []Item{}},
	Persist: stay.PerSession,
	Actions: stay.Actions[List]{
		"add":    stay.WithPayload(add),
		"remove": stay.WithPayload(remove),
	},
}

// add adds one more of an item.
func add(_ *stay.Call, l *List, in Add) error {
	name := strings.TrimSpace(in.Item)
	if n := utf8.RuneCountInString(name); n == 0 || n > maxName {
		return stay.Invalid("item", fmt.Sprintf("Please write 1 to %d characters.", maxName))
	}
	i := slices.IndexFunc(l.Items, func(item Item) bool { return item.Name == name })
	switch {
	case i >= 0:
		l.Items[i].Count++
	case len(l.Items) >= maxItems:
		return stay.Invalid("item", "The list is full.")
	default:
		l.Items = append(l.Items, Item{name, 1})
	}
	return nil
}

// remove removes an item, if it is there.
func remove(_ *stay.Call, l *List, in Remove) error {
	l.Items = slices.DeleteFunc(l.Items, func(item Item) bool { return item.Name == in.Item })
	return nil
}

// newHandler registers the module with app and returns the whole site. The page is
// a file, and shows what the stream brings.
func newHandler(app *stay.App) http.Handler {
	list := stay.Register(app, Module)
	mux := http.NewServeMux()
	mux.Handle("/state/", web.Actions(list))
	mux.Handle("GET /assets/{file}", http.FileServerFS(assets))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		stay.SessionFrom(r.Context()).ID() // the page has its cookie before it sends anything
		http.ServeFileFS(w, r, assets, "assets/page.html")
	})
	return secure(web.Sessions(app, &web.Options{Cookie: "spa"})(mux))
}

// secure sends the policy with every answer.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		next.ServeHTTP(w, r)
	})
}
