package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stay-go/stay"
)

// rooms are the rooms that there are, by name.
var rooms = []string{"kitchen", "garden", "workshop"}

// A Room is what everybody sees: the latest messages, the oldest first.
type Room struct {
	Name string `json:"name" stay:"key"`
	// Last is the number of the latest message. Numbers have no gaps.
	Last     int64     `json:"last"`
	Messages []Message `json:"messages"`
}

// A Message is what somebody has said.
type Message struct {
	Number int64     `json:"number"`
	From   string    `json:"from"`
	Text   string    `json:"text"`
	At     time.Time `json:"at"`
}

const (
	maxMessages = 200
	maxText     = 500 // characters
)

var roomModule = stay.Module[Room]{
	Name:    "room",
	Persist: stay.WithKey(func(r *Room) string { return r.Name }),
}

// A Say is the form for a message.
type Say struct {
	Text string `json:"text"`
}

// say adds a message to the room with the name.
func (r *Room) say(name, from string, say Say, now time.Time) error {
	text := strings.TrimSpace(say.Text)
	switch {
	case text == "":
		return stay.Invalid("text", "Write something first.")
	case utf8.RuneCountInString(text) > maxText:
		return stay.Invalid("text", fmt.Sprintf("At most %d characters, please.", maxText))
	}
	r.Name = name
	r.Last++
	r.Messages = append(r.Messages, Message{r.Last, from, text, now.UTC().Truncate(time.Second)})
	if more := len(r.Messages) - maxMessages; more > 0 {
		r.Messages = slices.Delete(r.Messages, 0, more)
	}
	return nil
}

// Here has nothing in it: whoever has the page of a room open follows the one of that
// room, and is present there. The pages of all rooms follow all the rooms themselves,
// to show what is unread.
type Here struct {
	Room string `json:"room" stay:"key"`
}

var hereModule = stay.Module[Here]{
	Name:     "here",
	Persist:  stay.WithKey(func(h *Here) string { return h.Room }),
	Presence: true,
}

// Seen is how far a user has read, on all devices.
type Seen struct {
	// User is set at the login. Nobody else has one.
	User string `json:"user"`
	// Last is the number of the latest message that the user has read in each room.
	Last map[string]int64 `json:"last"`
}

var seenModule = stay.Module[Seen]{
	Name:    "seen",
	Persist: stay.PerUser,
}

// Unread says how many messages the user has not read, "" if there are none.
func (s *Seen) Unread(r *Room) string {
	n, more := s.unread(r)
	switch {
	case n == 0:
		return ""
	case more:
		return fmt.Sprint(n, "+")
	}
	return fmt.Sprint(n)
}

// join notes who the user is. What was said before the first login is not unread.
func (s *Seen) join(user string, all []*Room) {
	if s.User != "" {
		return
	}
	s.User = user
	for _, r := range all {
		s.read(r.Name, r.Last)
	}
}

// read notes that the user has read up to a message.
func (s *Seen) read(room string, number int64) {
	if s.Last == nil {
		s.Last = map[string]int64{}
	}
	s.Last[room] = max(s.Last[room], number)
}

// isNew reports whether the user has not read a message of the room.
func (s *Seen) isNew(room string, m Message) bool { return m.Number > s.Last[room] && m.From != s.User }

// unread counts the messages that the user has not read. more means that there were
// others, which the room does not keep any more.
func (s *Seen) unread(r *Room) (n int, more bool) {
	for _, m := range r.Messages {
		if s.isNew(r.Name, m) {
			n++
		}
	}
	return n, len(r.Messages) > 0 && r.Messages[0].Number > s.Last[r.Name]+1
}
