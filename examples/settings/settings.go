package main

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stay-go/stay"
)

// Settings is what the page keeps on the server for one browser. Fields tagged
// preserve stay through page loads and Reset; the others are the state of a
// page.
type Settings struct {
	Theme    string `json:"theme" stay:"preserve"`
	Language string `json:"language" stay:"preserve"`

	Filter string `json:"filter"` // of the cities
	Open   string `json:"open"`   // the question whose answer is shown, or ""
	Draft  string `json:"draft"`
}

// The allowed values of a theme, a language and an open question; auto follows
// the system.
var (
	themes    = []string{"auto", "light", "dark"}
	languages = []string{"en", "de"}
	questions = []string{"load", "part", "back"}
)

// Limits of text fields, in characters.
const (
	maxFilter = 50
	maxDraft  = 1000
)

// Module is a definition, plain data: the program and its tests each register
// it with their own Apps.
var Module = stay.Module[Settings]{
	Name:            "settings",
	Initial:         Settings{Theme: "auto", Language: "en"},
	Persist:         stay.PerSession,
	ResetOnPageLoad: true,
	Actions: stay.Actions[Settings]{
		"edit": stay.WithPayload(edit),
	},
}

// Edit changes the fields that are set; those that are nil stay.
type Edit struct {
	Theme    *string `json:"theme"`
	Language *string `json:"language"`
	Filter   *string `json:"filter"`
	Open     *string `json:"open"`
	Draft    *string `json:"draft"`
}

// Validate refuses values that the page does not offer, and text that is too
// long.
func (in Edit) Validate() error {
	switch {
	case in.Theme != nil && !slices.Contains(themes, *in.Theme):
		return stay.Invalid("theme", "choose one of "+strings.Join(themes, ", "))
	case in.Language != nil && !slices.Contains(languages, *in.Language):
		return stay.Invalid("language", "choose one of "+strings.Join(languages, ", "))
	case in.Filter != nil && utf8.RuneCountInString(*in.Filter) > maxFilter:
		return stay.Invalid("filter", "use at most "+strconv.Itoa(maxFilter)+" characters")
	case in.Open != nil && *in.Open != "" && !slices.Contains(questions, *in.Open):
		return stay.Invalid("open", "choose one of "+strings.Join(questions, ", "))
	case in.Draft != nil && utf8.RuneCountInString(*in.Draft) > maxDraft:
		return stay.Invalid("draft", "use at most "+strconv.Itoa(maxDraft)+" characters")
	}
	return nil
}

func edit(_ *stay.Call, s *Settings, in Edit) error {
	for _, field := range []struct{ to, from *string }{
		{&s.Theme, in.Theme},
		{&s.Language, in.Language},
		{&s.Filter, in.Filter},
		{&s.Open, in.Open},
		{&s.Draft, in.Draft},
	} {
		if field.from != nil {
			*field.to = *field.from
		}
	}
	return nil
}

var cities = []string{
	"Athens", "Berlin", "Bogotá", "Cairo", "Dakar", "Hanoi", "Lima", "Lisbon", "Nairobi", "Oslo", "Prague", "Quito", "Seoul", "Tokyo", "Toronto", "Zürich",
}

// Cities are the cities that match the filter.
func (s *Settings) Cities() []string {
	filter := strings.ToLower(strings.TrimSpace(s.Filter))
	return slices.DeleteFunc(slices.Clone(cities), func(city string) bool {
		return !strings.Contains(strings.ToLower(city), filter)
	})
}
