package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func mustSay(t *testing.T, r *Room, from string) {
	t.Helper()
	if err := r.say("kitchen", from, Say{"hello"}, noon); err != nil {
		t.Fatal(err)
	}
}

func TestRoomKeepsTheLatestMessages(t *testing.T) {
	var r Room
	for range maxMessages + 10 {
		mustSay(t, &r, "ann")
	}
	if len(r.Messages) != maxMessages || r.Messages[0].Number != 11 || r.Last != maxMessages+10 {
		t.Errorf("%d messages from %d to %d", len(r.Messages), r.Messages[0].Number, r.Last)
	}
}

func TestMessagesThatAreRefused(t *testing.T) {
	for _, text := range []string{"", " \n", strings.Repeat("ä", maxText+1)} {
		var r Room
		if err := r.say("kitchen", "ann", Say{text}, noon); stay.CodeOf(err) != stay.ErrInvalid || r.Last != 0 {
			t.Errorf("%q: %v, the room has %+v", text, err, r)
		}
	}
	var r Room
	if err := r.say("kitchen", "ann", Say{strings.Repeat("ä", maxText)}, noon); err != nil {
		t.Error(err)
	}
}

func TestUnreadAreTheMessagesOfOthers(t *testing.T) {
	var r Room
	s := Seen{User: "ann"}
	want := func(n int, more bool) {
		t.Helper()
		if got, gotMore := s.unread(&r); got != n || gotMore != more {
			t.Errorf("%d unread, more: %v, want %d and %v", got, gotMore, n, more)
		}
	}
	want(0, false)
	mustSay(t, &r, "ben")
	mustSay(t, &r, "ann")
	mustSay(t, &r, "ben")
	want(2, false)
	s.read("garden", 3)
	want(2, false)
	s.read("kitchen", 2)
	want(1, false)
	s.read("kitchen", 1) // an old page
	want(1, false)
	for range maxMessages + 1 {
		mustSay(t, &r, "ben")
	}
	want(maxMessages, true)
	s.read("kitchen", r.Last)
	want(0, false)
}

func TestNothingIsUnreadAtTheFirstLogin(t *testing.T) {
	all := make([]*Room, len(rooms))
	for i := range all {
		all[i] = &Room{Name: rooms[i], Last: int64(i + 5)}
	}
	var s Seen
	s.join("ann", all)
	for i, name := range rooms {
		if s.User != "ann" || s.Last[name] != int64(i+5) {
			t.Errorf("ann joins as %+v", s)
		}
		all[i].Last++
	}
	before := s.Last[rooms[0]]
	if s.join("ann", all); s.Last[rooms[0]] != before {
		t.Error("a later login reads what is new")
	}
}
