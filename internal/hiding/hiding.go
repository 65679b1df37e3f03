// Package hiding keeps the owners that keys name out of the errors of stores.
package hiding

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/store"
)

// A Store is a store whose errors hide whom its keys name: they go into logs, and
// the causes that a store wraps name files, rows and addresses. It is a value, so
// that the same store is the same one again however often it is wrapped.
type Store struct{ store.Store }

// Load implements store.Store.
func (s Store) Load(ctx context.Context, reads []store.Read) ([]store.Record, error) {
	recs, err := s.Store.Load(ctx, reads)
	if err != nil {
		keys := make([]string, len(reads))
		for i := range reads {
			keys[i] = reads[i].Key
		}
		err = namesIn(keys).hide(err)
	}
	return recs, err
}

// Commit implements store.Store.
func (s Store) Commit(ctx context.Context, groups []store.Group) []store.Result {
	res := s.Store.Commit(ctx, groups)
	for i := range res {
		if res[i].Err != nil {
			hideAll(groups, res[i:])
			break
		}
	}
	return res
}

// hideAll hides the owners of the groups in the errors of results.
func hideAll(groups []store.Group, res []store.Result) {
	var of *names
	var last, hidden error // most often one error is that of all groups
	for i := range res {
		err := res[i].Err
		if err == nil {
			continue
		}
		if of == nil { // a failure may be told of by the key of another group
			var keys []string
			for _, g := range groups {
				for _, w := range g {
					keys = append(keys, w.Key)
				}
			}
			of = namesIn(keys)
		}
		if hidden == nil || !sameError(err, last) {
			last, hidden = err, of.hide(err)
		}
		res[i].Err = hidden
	}
}

func sameError(a, b error) bool {
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b //nolint:errorlint // the same value, not one of its kind
}

// Features implements store.Store.
func (s Store) Features() store.Features {
	f := s.Store.Features()
	_, lists := s.Store.(store.Lister)
	_, watches := s.Store.(store.Watcher)
	_, places := s.Store.(store.Placer)
	f.List, f.Watch, f.Places = f.List && lists, f.Watch && watches, f.Places && places
	return f
}

// Watch implements store.Watcher, where the features say so.
func (s Store) Watch(ctx context.Context, announce func([]store.Change, bool)) error {
	return s.Store.(store.Watcher).Watch(ctx, announce)
}

// Place implements store.Placer, where the features say so.
func (s Store) Place(key string) string { return s.Store.(store.Placer).Place(key) }

// List implements store.Lister, where the features say so.
func (s Store) List(ctx context.Context, now time.Time, prefix, after string, limit int) ([]string, error) {
	keys, err := s.Store.(store.Lister).List(ctx, now, prefix, after, limit)
	if err != nil {
		err = namesIn([]string{after}).hide(err)
	}
	return keys, err
}

// names are the owners that keys name, each with what stands before it.
type names struct{ before, owners []string }

// namesIn finds the owners.
func namesIn(keys []string) *names {
	n := &names{}
	for _, key := range keys {
		if before, owner := keyspace.Owner(key); owner != "" {
			n.before, n.owners = append(n.before, before), append(n.owners, owner)
		}
	}
	return n
}

// hide returns the error with another text. What it wraps is found as before.
func (n *names) hide(err error) error {
	if len(n.owners) == 0 {
		return err
	}
	return &hiddenError{err, &hiddenText{names: n}}
}

// A hiddenError is an error of a store whose text names nobody.
type hiddenError struct {
	err  error
	text *hiddenText
}

// hiddenText is apart, as secrets are. The text is made when it is asked for, and
// once, as the same failure may be that of many.
type hiddenText struct {
	once  sync.Once
	names *names
	text  string
}

func (e *hiddenError) Error() string {
	t := e.text
	t.once.Do(func() { t.text, t.names = t.names.replace(e.err.Error()), nil })
	return t.text
}

func (e *hiddenError) Unwrap() error { return e.err }

// A needle is a form of a name that a text may hold.
type needle struct {
	form, hash string
	word       bool // only as a word of its own: it is too short to mean the owner elsewhere
}

const (
	// leastName is the length from which a name is looked for without what stands
	// before it in the key. Shorter ones are words of any text.
	leastName = 3
	// longName is the length from which it is looked for within words, too.
	longName = 6
)

// replace puts "#" and the hash of each owner, as Error.KeyHash has it, where the
// text names the owner.
func (n *names) replace(text string) string {
	var all []needle
	for i, owner := range n.owners {
		hash := "#" + keyspace.Hash(owner)
		before := formsOf(n.before[i])
		for f, form := range formsOf(owner) {
			all = append(all, needle{before[f] + form, before[f] + hash, false})
			if len(owner) >= leastName {
				all = append(all, needle{form, hash, len(form) < longName})
			}
		}
	}
	// What stands before it, and names that begin with others, come first.
	slices.SortStableFunc(all, func(a, b needle) int { return cmp.Compare(len(b.form), len(a.form)) })
	for _, n := range slices.Compact(all) {
		text = n.replace(text)
	}
	return text
}

// formsOf are the ways in which a piece of a key is written: as it is, within
// quotes, in addresses, and in the names that store.FromSimple makes, which may be
// part of an address themselves.
func formsOf(s string) [6]string {
	quoted := strconv.Quote(s)
	var simple strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.' && i < len(s)-1:
			simple.WriteByte(c)
		default:
			fmt.Fprintf(&simple, "=%02x", c)
		}
	}
	return [...]string{
		s, quoted[1 : len(quoted)-1], url.PathEscape(s), url.QueryEscape(s),
		simple.String(), url.QueryEscape(simple.String()),
	}
}

func (n *needle) replace(text string) string {
	if !n.word {
		return strings.ReplaceAll(text, n.form, n.hash)
	}
	var b strings.Builder
	for {
		i := strings.Index(text, n.form)
		if i < 0 {
			b.WriteString(text)
			return b.String()
		}
		end := i + len(n.form)
		b.WriteString(text[:i])
		if i > 0 && isWord(text[i-1]) || end < len(text) && isWord(text[end]) {
			b.WriteString(n.form)
		} else {
			b.WriteString(n.hash)
		}
		text = text[end:]
	}
}

func isWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
