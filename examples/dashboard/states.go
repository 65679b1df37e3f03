package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/stay-go/stay"
)

// A Counter counts the cups of the tea room, for everybody.
type Counter struct {
	Waiting int `json:"waiting"`
	Served  int `json:"served"`
}

// Tasks are what a user has to do, on all devices. Before a login they are the
// guest's.
type Tasks struct {
	Owner string   `json:"owner"`
	Open  []string `json:"open"`
}

// A Note is what is written in this browser, for all its tabs.
type Note struct {
	Text string `json:"text"`
}

const (
	maxTasks = 20
	maxText  = 80 // characters
)

var (
	counterModule = stay.Module[Counter]{Name: "counter", Persist: stay.Global}
	noteModule    = stay.Module[Note]{Name: "note", Persist: stay.PerSession}
	tasksModule   = stay.Module[Tasks]{
		Name:    "tasks",
		Persist: stay.PerUser,
		Adopt: func(stored, guest *Tasks) error {
			for _, task := range guest.Open {
				if err := stored.add(task); err != nil {
					return nil //nolint:nilerr // the list is full: the login goes on
				}
			}
			return nil
		},
	}
)

// add adds a task, unless it is there already.
func (t *Tasks) add(task string) error {
	task, err := checked("task", task)
	switch {
	case err != nil:
		return err
	case slices.Contains(t.Open, task):
		return nil
	case len(t.Open) >= maxTasks:
		return stay.Invalid("task", "That is enough for today: finish something first.")
	}
	t.Open = append(t.Open, task)
	return nil
}

// finish takes a task away.
func (t *Tasks) finish(task string) {
	t.Open = slices.DeleteFunc(t.Open, func(open string) bool { return open == task })
}

// checked returns a text as it is kept.
func checked(field, text string) (string, error) {
	text = strings.TrimSpace(text)
	if n := utf8.RuneCountInString(text); n == 0 || n > maxText {
		return "", stay.Invalid(field, fmt.Sprintf("Please write 1 to %d characters.", maxText))
	}
	return text, nil
}
