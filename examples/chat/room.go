package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stay-go/stay"
)

// A Room is what everybody sees: the latest messages, the oldest first.
type Room struct {
	// Last is the number of the latest message. Numbers have no gaps.
	Last     int64     `json:"last"`
	Messages []Message `json:"messages"`
}

// A Message is what somebody has said.
type Message struct {
	Number int64 `json:"number"`
	// ID is made with the form that sends the message. So a form that is sent
	// again, because nobody knows whether it arrived, counts once.
	ID   string    `json:"id"`
	From string    `json:"from"`
	Text string    `json:"text"`
	At   time.Time `json:"at"`
}

const (
	maxMessages = 200
	maxText     = 500 // characters
	maxID       = 40
)

var roomModule = stay.Module[Room]{
	Name:    "room",
	Persist: stay.Global,
}

// A Say is the form for a message.
type Say struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

// say adds a message, unless it is there already.
func (r *Room) say(from string, say Say, now time.Time) error {
	text := strings.TrimSpace(say.Text)
	switch {
	case text == "":
		return stay.Invalid("text", "Write something first.")
	case utf8.RuneCountInString(text) > maxText:
		return stay.Invalid("text", fmt.Sprintf("At most %d characters, please.", maxText))
	case say.ID == "" || len(say.ID) > maxID:
		return stay.Invalid("text", "This page is out of date. Please load it again.")
	case slices.ContainsFunc(r.Messages, func(m Message) bool { return m.ID == say.ID && m.From == from }):
		return nil
	}
	r.Last++
	r.Messages = append(r.Messages, Message{r.Last, say.ID, from, text, now.UTC().Truncate(time.Second)})
	if more := len(r.Messages) - maxMessages; more > 0 {
		r.Messages = slices.Delete(r.Messages, 0, more)
	}
	return nil
}

// Seen is how far a user has read, on all devices.
type Seen struct {
	// Joined is set at the first login. What was said before is not unread.
	Joined bool `json:"joined"`
	// Last is the number of the latest message that the user has read.
	Last int64 `json:"last"`
}

var seenModule = stay.Module[Seen]{
	Name:    "seen",
	Persist: stay.PerUser,
}

// read notes that the user has read up to a message.
func (s *Seen) read(number int64) { s.Last = max(s.Last, number) }

// Unread counts the messages of others that the user has not read. more means
// that there were others, which the room does not keep any more.
func (s *Seen) Unread(r *Room, user string) (n int, more bool) {
	for _, m := range r.Messages {
		if m.Number > s.Last && m.From != user {
			n++
		}
	}
	return n, len(r.Messages) > 0 && r.Messages[0].Number > s.Last+1
}
