package main

import (
	"net/url"
	"strconv"
)

// A form is what a component shows of one: the texts in its fields, and what is
// wrong with them. The texts are those that were entered, so a number that is
// none comes back as it was.
type form struct {
	values url.Values
	errors map[string]string
}

func (f form) Value(name string) string { return f.values.Get(name) }
func (f form) Error(name string) string { return f.errors[name] }

// Wrong reports whether something is wrong with the form.
func (f form) Wrong() bool { return len(f.errors) > 0 }

// teaForm is the form of the first step as it is shown at first.
func teaForm(o *Order) form {
	t := o.Tea
	if t == nil {
		t = &Tea{Tins: 1}
	}
	values := url.Values{"kind": {t.Kind}, "tins": {strconv.Itoa(t.Tins)}}
	if t.Gift {
		values.Set("gift", "on")
	}
	return form{values: values}
}

// deliveryForm is that of the second step.
func deliveryForm(o *Order) form {
	d := o.Delivery
	if d == nil {
		d = &Delivery{}
	}
	return form{values: url.Values{"name": {d.Name}, "address": {d.Address}, "day": {d.Day}}}
}
