package inspect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/internal/streaming"
)

const (
	// pageSize is how many states, sessions or users one page lists.
	pageSize = 25
	// mostScanned is how many keys one page looks at to find those with a hash.
	mostScanned = 10_000
	// mostJSON bounds how much of a state is shown, in bytes.
	mostJSON = 256 << 10
)

// named returns the module that a request names.
func (h *handler) named(name string) (m access.Module, ok bool) {
	all := h.core.Modules()
	i := slices.IndexFunc(all, func(m access.Module) bool { return m.Name == name })
	if i < 0 {
		return m, false
	}
	return all[i], true
}

// A row is a state in a list.
type row struct {
	access.Found
	Name, Hash string // Hash as the log names it
	Ref        string
	Expires    *moment
}

func (h *handler) row(f access.Found, sessions bool) row {
	return row{
		Found: f, Name: keyName(f.Place, sessions), Hash: keyspace.Hash(f.Key), Ref: h.refs.state(f.Place),
		Expires: momentOf(f.Expires, h.now()),
	}
}

// keyName is what a list shows of a key: nothing of the ids of sessions.
func keyName(p access.Place, sessions bool) string {
	switch {
	case sessions || p.Guest:
		return "session " + sessionLabel(p.Key)
	case p.Key == "":
		return "everybody"
	}
	return printable(p.Key)
}

// sessionLabel names a session, or the guest of one, as the log does.
func sessionLabel(id string) string {
	id, _, _ = strings.Cut(id, ".") // see keyspace.GuestID
	return keyspace.Hash(id)
}

// paging is a list of which a page is shown.
type paging struct {
	Query     string       // what was looked for
	ByHash    bool         // by the hash of a key, not by its beginning
	Continued bool         // this is not the first page
	First     template.URL // the query of the first page
	Next      template.URL // and of the next one; "" = there is none
	Scanned   int          // how many keys were looked at, if not to the end
	Problem   string
}

type oneModule struct {
	access.Module
	Watched streaming.Count
}

// module shows one module, and its states.
func (h *handler) module(r *http.Request) *page {
	m, ok := h.named(r.URL.Query().Get("name"))
	if !ok {
		return &page{Title: "Not found", status: http.StatusNotFound, Parts: []part{{"failure", "failure", "There is no such module."}}}
	}
	p := &page{Title: m.Name, Here: "overview", Parts: []part{{"module", "module", oneModule{m, h.core.Watched(0).Modules[m.Name]}}}}
	if m.Strategy == "" {
		p.Parts = append(p.Parts, part{"states", "ephemeral", nil})
		return p
	}
	list, status := h.states(r, m)
	p.status = status
	p.Parts = append(p.Parts, part{"states", "states", list})
	return p
}

type stateList struct {
	paging
	Module string
	Global bool
	Lists  bool
	Rows   []row
}

// states lists a module's states.
func (h *handler) states(r *http.Request, m access.Module) (list *stateList, status int) {
	query := r.URL.Query()
	sessions := m.Strategy == "PerSession"
	list = &stateList{Module: m.Name, Global: m.Strategy == "Global", Lists: m.Store.Lists}
	if !list.Lists && !list.Global {
		return list, 0
	}
	after, ok := h.after(query.Get("after"))
	if !ok {
		list.Problem = "This link is of another process, or from before a restart: this is the first page."
	}
	list.Query, list.Continued = query.Get("q"), after != ""
	list.First = encode(url.Values{"name": {m.Name}, "q": {list.Query}})
	prefix, hash := list.Query, ""
	if sessions || strings.HasPrefix(prefix, "#") {
		prefix, hash, list.ByHash = "", strings.ToLower(strings.TrimPrefix(prefix, "#")), true
	}
	var keys []string
	var next string
	var err error
	if list.Global {
		keys = []string{""}
	} else {
		keys, next, list.Scanned, err = scan(h.core.Keys(r.Context(), m.Name, prefix, after), func(key string) bool {
			return strings.HasPrefix(keyspace.Hash(key), hash)
		})
	}
	if next != "" {
		list.Next = encode(url.Values{"name": {m.Name}, "q": {list.Query}, "after": {h.refs.seal(refAfter, next)}})
	}
	var found []access.Found
	if err == nil && len(keys) > 0 {
		places := make([]access.Place, len(keys))
		for i, key := range keys {
			places[i] = access.Place{Module: m.Name, Key: key}
		}
		found, err = h.core.Look(r.Context(), places)
	}
	if err != nil {
		list.Problem, status = problem(err), http.StatusServiceUnavailable
	}
	for _, f := range found {
		if list.Global || f.Exists() || f.Revision != 0 { // else it was deleted after it was listed
			list.Rows = append(list.Rows, h.row(f, sessions))
		}
	}
	return list, status
}

// encode returns the query of a link.
func encode(v url.Values) template.URL { return template.URL(v.Encode()) }

// after returns where a page of a list begins.
func (h *handler) after(ref string) (after string, ok bool) {
	if ref == "" {
		return "", true
	}
	return h.refs.open(refAfter, ref)
}

// scan returns one page of the keys that match, and where the next page begins, ""
// if this is the last one. If it has stopped because it has looked at many keys, it
// says at how many.
func scan(keys iter.Seq2[string, error], match func(string) bool) (list []string, next string, scanned int, err error) {
	n, last := 0, ""
	for key, err := range keys {
		switch {
		case err != nil:
			return list, "", 0, err
		case n == mostScanned:
			return list, last, n, nil
		}
		n++
		if match(key) {
			if len(list) == pageSize {
				return list, last, 0, nil
			}
			list = append(list, key)
		}
		last = key
	}
	return list, "", 0, nil
}

type shown struct {
	row
	Module  access.Module
	JSON    string
	Cut     bool
	Problem string
	Old     bool // it was stored with another version of the schema
	Viewers []viewer
	More    bool // there are more Viewers
}

// state shows one state.
func (h *handler) state(r *http.Request) *page {
	place, ok := h.refs.openState(r.URL.Query().Get("at"))
	if !ok {
		return h.stale()
	}
	m, ok := h.named(place.Module)
	if !ok {
		return h.stale()
	}
	found, text, err := h.core.Show(r.Context(), place)
	if err != nil && found.Module == "" { // nothing is known of it
		return h.failure(err)
	}
	s := &shown{row: h.row(found, m.Strategy == "PerSession"), Module: m, Problem: problem(err), Old: found.Version != m.Version}
	if isNotFound(err) {
		s.Problem = "Nothing is stored here: the owner has the initial state."
	}
	s.JSON, s.Cut = pretty(text)
	s.Viewers, s.More = h.viewers(place)
	return &page{Title: m.Name + ", " + s.Name, Here: "overview", Parts: []part{{"state", "state", s}}}
}

// forScripts are the escapes that encoding/json writes for pages with scripts. They are
// told from an escaped backslash before the same letters, which stays.
var forScripts = strings.NewReplacer(`\\`, `\\`, `\u003c`, "<", `\u003e`, ">", `\u0026`, "&")

// pretty indents JSON, and cuts what is too long. What could deceive the eye is
// written as an escape, as [printable] does.
func pretty(text []byte) (s string, cut bool) {
	var b bytes.Buffer
	if json.Indent(&b, text, "", "  ") != nil {
		return "", false
	}
	out := b.Bytes()
	if cut = len(out) > mostJSON; cut {
		end := mostJSON
		for !utf8.RuneStart(out[end]) {
			end--
		}
		out = out[:end]
	}
	var shown strings.Builder
	for _, r := range forScripts.Replace(string(out)) {
		switch {
		case r == '\n' || unicode.IsPrint(r):
			shown.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&shown, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&shown, `\u%04x`, r)
		}
	}
	return shown.String(), cut
}
