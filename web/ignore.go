package web

import (
	"sync"

	"github.com/stay-go/stay/internal/bind"
)

// ignore returns the function that reports which unknown names of the payload
// are left out; nil leaves out none.
//
// A page sends more than one program knows: buttons, tokens, traps for robots,
// the fields of other parts, and the fields of a newer page during a rollout.
// So some names that a page sends are left out. A script that sends JSON knows
// its receiver.
func (p *payload) ignore() func(name string) bool {
	s := p.settings
	fromPage := p.json == nil || p.request.Header.Get("HX-Request") != "" || p.request.Header.Get("Datastar-Request") != ""
	if s.ignoreField == nil && !fromPage && !p.paged {
		return nil
	}
	return func(name string) bool {
		switch {
		case p.paged && name == pageField:
			return true
		case fromPage && (bind.Foreign(name) || p.wasNoFile(name)):
			return true
		case s.ignoreField != nil:
			return s.ignoreField(p.request, name)
		case !fromPage:
			return false
		}
		s.warnIgnored(name, p.request.Pattern)
		return true
	}
}

// wasNoFile reports whether the name may belong to an input for files that was
// left empty. net/http treats it as a text.
func (p *payload) wasNoFile(name string) bool {
	if !p.parsed {
		return false
	}
	for _, value := range p.form[name] {
		if value != "" {
			return false
		}
	}
	return len(p.form[name]) > 0
}

// warnIgnored logs each name that was left out, once, for a developer: it may
// be a typo.
func (s *settings) warnIgnored(name, route string) {
	if s.development() && s.ignored.first(name) {
		s.logger().Warn("stay: a field of a form was left out, because nothing has its name; see web.Options.IgnoreField", "field", name, "route", route)
	}
}

// names are the names seen so far.
type names struct {
	mu   sync.Mutex
	seen map[string]bool
}

// maxNames is how many names are remembered; clients choose them.
const maxNames = 100

// first reports whether name has not been seen before.
func (n *names) first(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.seen[name] || len(n.seen) == maxNames {
		return false
	}
	if n.seen == nil {
		n.seen = make(map[string]bool)
	}
	n.seen[name] = true
	return true
}
