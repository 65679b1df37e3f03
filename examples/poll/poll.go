package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/stay-go/stay"
)

// A Poll is one question with its answers, for all visitors.
type Poll struct {
	Answers []string `json:"answers"`
	// Votes are the answers by the ID of the session that has chosen them.
	Votes map[string]string `json:"votes"`
}

const (
	maxAnswers = 12
	maxAnswer  = 40 // characters
	maxVotes   = 2000
)

// Module is a definition, plain data: the program and its tests each register
// it with their own Apps.
var Module = stay.Module[Poll]{
	Name:    "poll",
	Initial: Poll{Answers: []string{"Assam", "Darjeeling", "Earl Grey"}},
	Persist: stay.Global,
	Actions: stay.Actions[Poll]{
		"vote":    stay.WithPayload(vote),
		"suggest": stay.WithPayload(suggest),
	},
}

// A Vote is the payload of "vote", a Suggestion the payload of "suggest". Their
// fields are signals of the page; those that a payload does not have are left
// out.
type (
	Vote struct {
		Choice string `json:"choice"`
	}
	Suggestion struct {
		Suggestion string `json:"suggestion"`
	}
)

// vote sets the answer of a session. A session has one answer, however often
// the browser repeats its request.
func vote(c *stay.Call, p *Poll, in Vote) error {
	id := c.Session().ID()
	switch _, again := p.Votes[id]; {
	case id == "":
		return stay.ErrEnded // all such votes would be kept under ""
	case !slices.Contains(p.Answers, in.Choice):
		return stay.Invalid("choice", "Please choose one of the answers.")
	case !again && len(p.Votes) >= maxVotes:
		return stay.Invalid("choice", "The poll is closed: enough people have voted.")
	}
	if p.Votes == nil {
		p.Votes = map[string]string{}
	}
	p.Votes[id] = in.Choice
	return nil
}

// suggest adds an answer, unless it is there already: then it may be a request
// that the browser has repeated.
func suggest(_ *stay.Call, p *Poll, in Suggestion) error {
	answer := strings.TrimSpace(in.Suggestion)
	switch {
	case answer == "":
		return stay.Invalid("suggestion", "Please write which tea it should be.")
	case utf8.RuneCountInString(answer) > maxAnswer:
		return stay.Invalid("suggestion", fmt.Sprintf("At most %d characters, please.", maxAnswer))
	case slices.ContainsFunc(p.Answers, func(have string) bool { return strings.EqualFold(have, answer) }):
		return nil
	case len(p.Answers) >= maxAnswers:
		return stay.Invalid("suggestion", "There are enough answers to choose from.")
	}
	p.Answers = append(p.Answers, answer)
	return nil
}

// Count is how many have chosen an answer.
func (p *Poll) Count(answer string) int {
	n := 0
	for _, chosen := range p.Votes {
		if chosen == answer {
			n++
		}
	}
	return n
}
