package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stay-go/stay"
)

// An Order is what one browser has entered so far, step by step.
type Order struct {
	Tea      *Tea      `json:"tea"`      // the first step; nil if it is not done
	Delivery *Delivery `json:"delivery"` // the second step
	Number   string    `json:"number"`   // of the order; "" until it is placed
}

// Tea is the form of the first step.
type Tea struct {
	Kind string `json:"kind"`
	Tins int    `json:"tins"`
	Gift bool   `json:"gift"`
}

// Delivery is the form of the second step.
type Delivery struct {
	Name    string    `json:"name"`
	Address string    `json:"address"`
	Day     time.Time `json:"day,omitzero"` // empty: Validate says what to do
}

// Module is a definition, plain data: the program and its tests each register
// it with their own Apps.
var Module = stay.Module[Order]{
	Name:    "order",
	Persist: stay.PerSession,
	Actions: stay.Actions[Order]{
		"tea": stay.WithPayload(func(_ *stay.Call, o *Order, in Tea) error {
			if o.Number == "" {
				o.Tea = &in
			}
			return nil
		}),
		"delivery": stay.WithPayload(func(_ *stay.Call, o *Order, in Delivery) error {
			if o.Number == "" {
				o.Delivery = &in
			}
			return nil
		}),
		"place": place,
	},
}

// place gives a complete order its number. The second click of a double click
// finds an order that has a number.
func place(_ *stay.Call, o *Order) error {
	if o.Number == "" && o.Tea != nil && o.Delivery != nil {
		o.Number = rand.Text()[:8]
	}
	return nil
}

// Next is the path of the next step.
func (o *Order) Next() string {
	switch {
	case o.Number != "":
		return "/placed"
	case o.Tea == nil:
		return "/tea"
	case o.Delivery == nil:
		return "/delivery"
	}
	return "/check"
}

// A kind of tea, and what a tin of it costs in cents.
type kind struct {
	Name  string
	Price int
}

var kinds = []kind{{"Assam", 890}, {"Darjeeling", 1450}, {"Earl Grey", 750}, {"Lapsang Souchong", 1120}}

const (
	maxTins   = 20
	maxText   = 100 // characters
	maxDays   = 60  // ahead
	giftPrice = 250
)

// Price is what the tea costs in cents.
func (t *Tea) Price() int {
	price := 0
	if i := t.kind(); i >= 0 {
		price = kinds[i].Price * t.Tins
	}
	if t.Gift {
		price += giftPrice
	}
	return price
}

// Text says what was ordered.
func (t *Tea) Text() string {
	text := fmt.Sprintf("%d × %s", t.Tins, t.Kind)
	if t.Gift {
		text += ", as a gift"
	}
	return text
}

// kind is the index in kinds, or -1.
func (t *Tea) kind() int {
	return slices.IndexFunc(kinds, func(k kind) bool { return k.Name == t.Kind })
}

// Validate says what is wrong with each field.
func (t *Tea) Validate() error {
	var errs []error
	if t.kind() < 0 {
		errs = append(errs, stay.Invalid("kind", "Please choose a tea."))
	}
	if t.Tins < 1 || t.Tins > maxTins {
		errs = append(errs, stay.Invalid("tins", fmt.Sprintf("1 to %d tins, please.", maxTins)))
	}
	return errors.Join(errs...)
}

// Validate says what is wrong with each field.
func (d *Delivery) Validate() error {
	return errors.Join(checkText("name", d.Name), checkText("address", d.Address), d.checkDay())
}

func checkText(name, text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return stay.Invalid(name, "Please fill this in.")
	case utf8.RuneCountInString(text) > maxText:
		return stay.Invalid(name, fmt.Sprintf("At most %d characters, please.", maxText))
	}
	return nil
}

func (d *Delivery) checkDay() error {
	first, last := days()
	switch {
	case d.Day.IsZero():
		return stay.Invalid("day", "Please choose a day.")
	case d.Day.Before(first):
		return stay.Invalid("day", "That is too soon: tomorrow at the earliest.")
	case d.Day.After(last):
		return stay.Invalid("day", fmt.Sprintf("That is too late: in %d days at most.", maxDays))
	}
	return nil
}

// days are the first and the last day on which tea can be delivered.
func days() (first, last time.Time) {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	return today.AddDate(0, 0, 1), today.AddDate(0, 0, maxDays)
}

// euros shows cents.
func euros(cents int) string { return fmt.Sprintf("€ %d.%02d", cents/100, cents%100) }
