package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func mustSay(t *testing.T, r *Room, from, id string) {
	t.Helper()
	if err := r.say(from, Say{ID: id, Text: "hello"}, noon); err != nil {
		t.Fatal(err)
	}
}

func TestRoomKeepsTheLatestMessages(t *testing.T) {
	var r Room
	for i := range maxMessages + 10 {
		mustSay(t, &r, "ann", fmt.Sprint(i))
	}
	if len(r.Messages) != maxMessages || r.Messages[0].Number != 11 || r.Last != maxMessages+10 {
		t.Errorf("%d messages from %d to %d", len(r.Messages), r.Messages[0].Number, r.Last)
	}
}

func TestMessageThatIsSentAgainCountsOnce(t *testing.T) {
	var r Room
	mustSay(t, &r, "ann", "x")
	mustSay(t, &r, "ann", "x")
	mustSay(t, &r, "ben", "x") // nobody can keep another one's message away
	if r.Last != 2 || len(r.Messages) != 2 {
		t.Errorf("the room has %+v", r)
	}
}

func TestMessagesThatAreRefused(t *testing.T) {
	for _, say := range []Say{
		{"x", ""},
		{"x", " \n"},
		{"x", strings.Repeat("ä", maxText+1)},
		{"", "hello"},
		{strings.Repeat("x", maxID+1), "hello"},
	} {
		var r Room
		if err := r.say("ann", say, noon); stay.CodeOf(err) != stay.ErrInvalid || r.Last != 0 {
			t.Errorf("%+v: %v, the room has %+v", say, err, r)
		}
	}
	var r Room
	if err := r.say("ann", Say{"x", strings.Repeat("ä", maxText)}, noon); err != nil {
		t.Error(err)
	}
}

func TestUnreadAreTheMessagesOfOthers(t *testing.T) {
	var r Room
	var s Seen
	want := func(n int, more bool) {
		t.Helper()
		if got, gotMore := s.Unread(&r, "ann"); got != n || gotMore != more {
			t.Errorf("%d unread, more: %v, want %d and %v", got, gotMore, n, more)
		}
	}
	want(0, false)
	mustSay(t, &r, "ben", "1")
	mustSay(t, &r, "ann", "2")
	mustSay(t, &r, "ben", "3")
	want(2, false)
	s.read(2)
	want(1, false)
	s.read(1) // an old page
	want(1, false)
	for i := range maxMessages + 1 {
		mustSay(t, &r, "ben", fmt.Sprint("more", i))
	}
	want(maxMessages, true)
	s.read(r.Last)
	want(0, false)
}
