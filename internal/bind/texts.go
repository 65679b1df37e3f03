package bind

import (
	"encoding"
	"encoding/json"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Renumber returns the values of a form under names whose items are numbered by
// their place in the lists of dst, as [Binder.Form] numbers them in errors.
func (b *Binder) Renumber(values url.Values, dst any) url.Values {
	_, d, err := b.target(dst)
	if err != nil || d.behind().index == nil {
		return values
	}
	find := finder{root: d.behind()}
	places, unknown, err := find.all(values)
	if err != nil {
		return values
	}
	renumbered := make(url.Values, len(values))
	for _, name := range unknown {
		renumbered[name] = values[name]
	}
	for _, p := range places {
		renumbered[p.name] = p.values
	}
	return renumbered
}

// IsBool reports whether a name leads to a boolean of what src points to.
func (b *Binder) IsBool(src any, name string) bool {
	_, d, err := b.target(src)
	if err != nil || d.behind().index == nil {
		return false
	}
	find := finder{root: d.behind()}
	p, err := find.find(name)
	return err == nil && p != nil && p.node.behind().isBool()
}

// Texts returns the values that a form with the value that src points to would
// send under a name; nil if nothing has the name.
func (b *Binder) Texts(src any, name string) []string {
	v, d, err := b.target(src)
	if err != nil || d.behind().index == nil {
		return nil
	}
	find := finder{root: d.behind()}
	p, err := find.find(name)
	if err != nil || p == nil {
		return nil
	}
	for _, s := range p.steps {
		if v = pointee(v); !v.IsValid() {
			return nil
		}
		if s.index == nil {
			if s.item >= v.Len() {
				return nil
			}
			v = v.Index(s.item)
			continue
		}
		for _, i := range s.index {
			if v = pointee(v); !v.IsValid() {
				return nil
			}
			v = v.Field(i)
		}
	}
	if v = pointee(v); !v.IsValid() {
		return nil
	}
	if !p.node.behind().isList() {
		return []string{textOf(v)}
	}
	texts := make([]string, v.Len())
	for i := range texts {
		if item := pointee(v.Index(i)); item.IsValid() {
			texts[i] = textOf(item)
		}
	}
	return texts
}

// pointee follows pointers and interfaces; the result is invalid if one is nil.
func pointee(v reflect.Value) reflect.Value {
	for range maxPointers {
		if v.Kind() != reflect.Pointer && v.Kind() != reflect.Interface {
			break
		}
		v = v.Elem()
	}
	return v
}

// textOf returns the text for v in a form.
func textOf(v reflect.Value) string {
	if t, ok := v.Interface().(time.Time); ok {
		return timeText(t)
	}
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	if m, ok := p.Interface().(encoding.TextMarshaler); ok {
		text, _ := m.MarshalText() // what cannot be written is not shown
		return string(text)
	}
	switch {
	case v.Kind() == reflect.String:
		return v.String()
	case v.Kind() == reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10)
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10)
	case v.CanFloat():
		return strconv.FormatFloat(v.Float(), 'f', -1, v.Type().Bits())
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		return string(v.Bytes())
	}
	return ""
}

// timeText returns the form that the inputs of HTML need; see setTime.
func timeText(t time.Time) string {
	t = t.UTC()
	switch {
	case t.IsZero():
		return ""
	case t.Truncate(24 * time.Hour).Equal(t):
		return t.Format("2006-01-02")
	case t.Second() == 0 && t.Nanosecond() == 0:
		return t.Format("2006-01-02T15:04")
	}
	return t.Format("2006-01-02T15:04:05.999999999")
}

// JSONTexts returns the values that a form would send under a name, from what
// JSON has under it. doc is decoded JSON in an any.
func JSONTexts(doc any, name string) []string {
	for rest := name; rest != ""; {
		switch v := doc.(type) {
		case map[string]any:
			if at, ok := v[rest]; ok {
				doc, rest = at, ""
				continue
			}
			key := head(rest)
			doc, rest = v[key], strings.TrimPrefix(rest[len(key):], ".")
		case []any:
			number, behind, ok := cutNumber(rest)
			if !ok || number >= len(v) {
				return nil
			}
			doc, rest = v[number], strings.TrimPrefix(behind, ".")
		default:
			return nil
		}
	}
	list, ok := doc.([]any)
	if !ok {
		list = []any{doc}
	}
	var texts []string
	for _, item := range list {
		switch item := item.(type) {
		case string:
			texts = append(texts, item)
		case bool, float64:
			text, _ := json.Marshal(item)
			texts = append(texts, string(text))
		}
	}
	return texts
}
