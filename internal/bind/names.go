package bind

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// A place is where names of a form lead: to a field, or to an item of a list.
type place struct {
	name   string // items of lists are numbered from 0 without gaps
	values []string
	node   *node
	steps  []step
	// optional: an empty value means an absent value.
	optional bool
}

// A step leads from a value to a part of it.
type step struct {
	index []int // of a field of a struct; nil: the step leads into a list
	list  *items
	item  int
}

// Items are the items of one list that a form has.
type items struct {
	name    string
	node    *node
	numbers []int // in their order
	made    bool
}

// place returns the place of the item with the number among the items that the
// form has: a page may have removed some in between.
func (l *items) place(number int) int {
	i, _ := slices.BinarySearch(l.numbers, number)
	return i
}

// A finder finds the places that the names of a form lead to.
type finder struct {
	root  *node // a struct
	lists map[string]*items
}

// all returns the places of all values, sorted by their names as sent, and the
// names that lead nowhere.
func (f *finder) all(values url.Values) (places []*place, unknown []string, err error) {
	names := make([]string, 0, len(values))
	for name, list := range values {
		if len(list) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names) // so that the same one of several mistakes is reported each time
	places = make([]*place, 0, len(names))
	var whole map[string]*place // lists, by their names
	for _, name := range names {
		p, err := f.find(name)
		if err != nil {
			return nil, nil, err
		}
		if p == nil {
			unknown = append(unknown, name)
			continue
		}
		p.values = values[name]
		if p.node.behind().isList() {
			if same := whole[p.name]; same != nil { // tags and tags[]
				same.values = slices.Concat(same.values, p.values)
				continue
			}
			if whole == nil {
				whole = make(map[string]*place)
			}
			whole[p.name] = p
		}
		places = append(places, p)
		for _, s := range p.steps {
			if s.list != nil {
				s.list.numbers = append(s.list.numbers, s.item)
			}
		}
	}
	for _, l := range f.lists {
		slices.Sort(l.numbers)
		l.numbers = slices.Compact(l.numbers)
	}
	for _, p := range places {
		if l := f.lists[p.name]; l != nil && len(l.numbers) > 0 {
			return nil, nil, fault("two_ways").of(p.name)
		}
		p.renumber()
	}
	return places, unknown, nil
}

// renumber replaces the numbers of items in the name by their places.
func (p *place) renumber() {
	var b strings.Builder
	done := 0
	for _, s := range p.steps {
		if s.index != nil {
			continue
		}
		fmt.Fprintf(&b, "%s[%d]", p.name[done:len(s.list.name)], s.list.place(s.item))
		done = len(s.list.name) + len(strconv.Itoa(s.item)) + len("[]")
	}
	if done > 0 {
		p.name = b.String() + p.name[done:]
	}
}

// find returns the place that a name leads to; nil if it leads nowhere. It is
// an error if the name leads to something that cannot be set, or that has
// another name.
func (f *finder) find(name string) (*place, error) {
	p := &place{name: name, node: f.root}
	for rest := name; len(p.steps) < maxDots; {
		n := p.node.behind()
		switch {
		case n.index != nil:
			member, behind := n.member(rest)
			if member == nil {
				if n.reserves(rest) {
					return nil, fault("unknown").of(name)
				}
				return nil, nil
			}
			p.steps = append(p.steps, step{index: member.Index})
			p.node, p.optional, rest = member.node, member.optional, behind
		case n.isList():
			if rest == "[]" {
				p.name = strings.TrimSuffix(name, rest)
				return p, nil
			}
			number, behind, ok := cutNumber(rest)
			if !ok {
				return nil, f.otherWay(name)
			}
			l := f.list(name[:len(name)-len(rest)], n)
			p.steps = append(p.steps, step{list: l, item: number})
			p.node, p.optional, rest = n.elem, false, behind
		case n.typ.Kind() == reflect.Map && !n.json && !n.text:
			return nil, fault("as_json").of(name)
		default:
			return nil, f.otherWay(name)
		}
		if rest == "" {
			return p, nil
		}
		if p.node.behind().index != nil {
			if rest[0] != '.' {
				return nil, f.otherWay(name)
			}
			rest = rest[1:]
		}
	}
	return nil, fault("too_deep").of(name)
}

func (f *finder) list(name string, n *node) *items {
	l := f.lists[name]
	if l == nil {
		if f.lists == nil {
			f.lists = make(map[string]*items)
		}
		l = &items{name: name, node: n}
		f.lists[name] = l
	}
	return l
}

// behind returns the node that n leads to through pointers.
func (n *node) behind() *node {
	for range maxPointers {
		if n.typ.Kind() != reflect.Pointer {
			break
		}
		n = n.elem
	}
	return n
}

// isList reports whether values of several names, or several values of one
// name, make the items of n.
func (n *node) isList() bool {
	return n.typ.Kind() == reflect.Slice && n.typ.Elem().Kind() != reflect.Uint8 && !n.json && !n.text
}

// member returns the field that a name begins with, and what follows its name.
func (n *node) member(name string) (f *field, behind string) {
	if f, _ := n.byName(name); f != nil {
		return f, ""
	}
	head := head(name)
	f, _ = n.byName(head)
	return f, name[len(head):]
}

// reserves reports whether a name begins with the name of a field that only the
// program may set.
func (n *node) reserves(name string) bool { return n.reserved[name] || n.reserved[head(name)] }

// head returns a name up to the first dot or bracket.
func head(name string) string {
	if i := strings.IndexAny(name, ".["); i >= 0 {
		return name[:i]
	}
	return name
}

// cutNumber returns the number in brackets that text begins with, and what
// follows.
func cutNumber(text string) (number int, behind string, ok bool) {
	if text[0] != '[' {
		return 0, "", false
	}
	digits, behind, _ := strings.Cut(text[1:], "]")
	number, err := strconv.Atoi(digits)
	return number, behind, err == nil && number >= 0 && digits == strconv.Itoa(number) && len(text) > len(digits)+1
}

// maxOther is the longest name for which otherWay looks for another notation.
const maxOther = 1000

// otherWay returns an error that says how to write a name that front ends write
// in another notation, such as items[0][name]; nil if the name leads nowhere in
// any notation.
func (f *finder) otherWay(name string) error {
	if len(name) > maxOther {
		return nil
	}
	parts := strings.Split(strings.NewReplacer("][", ".", "[", ".", "]", "").Replace(name), ".")
	way, n := "", f.root
	for range 2 * maxDots {
		n = n.behind()
		if len(parts) == 0 {
			return fault("notation", way).of(name)
		}
		part := parts[0]
		switch {
		case n.index != nil:
			member, _ := n.byName(part)
			if member == nil && n.reserved[part] {
				return fault("unknown").of(name)
			}
			if member == nil {
				return nil
			}
			if way != "" {
				way += "."
			}
			way, n, parts = way+part, member.node, parts[1:]
		case n.isList() && part == "" && len(parts) == 1:
			return fault("notation", way).of(name)
		case n.isList():
			number, err := strconv.Atoi(part)
			if err == nil || part == "" {
				parts = parts[1:]
			}
			way, n = fmt.Sprintf("%s[%d]", way, max(number, 0)), n.elem
		case len(parts) == 1 && strings.Trim(part, "0123456789") == "":
			return fault("notation", way).of(name)
		default:
			return nil
		}
	}
	return nil
}

// Foreign reports whether a name of a form is known not to belong to the
// program: to frameworks, which begin theirs with an underscore, to tokens
// against forgery, to captchas, and to buttons with an image, which send where
// it was clicked.
func Foreign(name string) bool {
	switch name {
	case "csrf_token", "csrfmiddlewaretoken", "authenticity_token", "gorilla.csrf.Token",
		"g-recaptcha-response", "h-captcha-response", "cf-turnstile-response", "x", "y":
		return true
	}
	return strings.HasPrefix(name, "_") || strings.HasSuffix(name, ".x") || strings.HasSuffix(name, ".y")
}
