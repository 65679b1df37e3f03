package nodes_test

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// A sending is one of those of an action, which all have its id.
type sending struct {
	Action   string        `json:"action"`
	Register string        `json:"register"`
	Client   int           `json:"client"`
	Node     int           `json:"node"`
	Call     time.Duration `json:"call"`
	Return   time.Duration `json:"return"`
	Outcome  outcome       `json:"outcome"`
	Error    string        `json:"error,omitempty"`
	// Replayed: the answer says that another sending has made the action.
	Replayed bool   `json:"replayed"`
	Shown    *shown `json:"shown,omitempty"`
}

// String implements fmt.Stringer.
func (s *sending) String() string {
	text := fmt.Sprintf("%s to %s at node %d, %s to %s, %s", s.Action, s.Register, s.Node, at(s.Call), at(s.Return), s.Outcome)
	switch {
	case s.Error != "":
		text += " (" + s.Error + ")"
	case s.Replayed:
		text += fmt.Sprintf(", made before, showing %d ending with %q", s.Shown.Seq, s.Shown.lately())
	case s.Shown != nil:
		text += fmt.Sprintf(", made now, showing %d ending with %q", s.Shown.Seq, s.Shown.lately())
	}
	return text
}

// lately is the change that was made last.
func (s *shown) lately() string {
	if len(s.Last) == 0 {
		return ""
	}
	return s.Last[len(s.Last)-1]
}

// A made is what actions a register has made: how many, which was the last, and
// the set of them, a bit for each action of the history. The places in the order
// follow, since each state has another number.
type made struct {
	seq  int
	last string
	set  string
}

// A named is a sending for the model, with the place of its action in the set.
type named struct {
	*sending
	action int
}

// onceModel is a register on one machine that makes an action when its id comes
// for the first time. Each answer shows what there is then.
var onceModel = porcupine.Model{
	Init: func() any { return made{} },
	Step: func(state, input, _ any) (bool, any) {
		v, s := state.(made), input.(named)
		known := v.has(s.action)
		if !known {
			v = made{v.seq + 1, s.Action, v.with(s.action)}
		}
		if s.Shown == nil { // nobody knows whether this sending was the first
			return true, v
		}
		return s.Replayed == known && s.Shown.Seq == v.seq && s.Shown.lately() == v.last, v
	},
	DescribeOperation: func(input, _ any) string { return input.(named).String() },
	DescribeState:     func(state any) string { return fmt.Sprintf("%d, the last is %s", state.(made).seq, state.(made).last) },
}

func (m made) has(action int) bool {
	return action/8 < len(m.set) && m.set[action/8]>>(action%8)&1 == 1
}

func (m made) with(action int) string {
	set := []byte(m.set)
	if missing := action/8 + 1 - len(set); missing > 0 {
		set = append(set, make([]byte, missing)...)
	}
	set[action/8] |= 1 << (action % 8)
	return string(set)
}

// checkSendings checks the registers to which actions were sent again.
func (c *checker) checkSendings() {
	registers := map[string][]*sending{}
	for _, s := range c.h.Sendings {
		registers[s.Register] = append(registers[s.Register], s)
	}
	for _, name := range slices.Sorted(maps.Keys(registers)) {
		history := onceHistory(registers[name])
		switch result, info := porcupine.CheckOperationsVerbose(onceModel, history, linearTime); result {
		case porcupine.Illegal:
			c.wrong("%s: an action did not take effect once: %s", name, stuck(history, info))
		case porcupine.Unknown:
			c.wrong("%s: nobody can say in %v whether its %d sendings took effect once", name, linearTime, len(history))
		}
	}
}

// onceHistory are the sendings to a register for the checker. Those whose outcome
// is unknown are left out if one that was answered has made the action, which
// leaves them nothing to do: if one of them has made it again, what others show
// does not fit. If nobody was told to have made it, the first of them stands for
// all, and has made it before another is told that it was made.
func onceHistory(all []*sending) (history []porcupine.Operation) {
	type action struct {
		number int
		told   bool          // an answer says that it was made now
		known  time.Duration // when somebody was told that it was made
		first  *sending      // with an unknown outcome
	}
	actions := map[string]*action{}
	for _, s := range all {
		a := actions[s.Action]
		if a == nil {
			a = &action{number: len(actions), known: never}
			actions[s.Action] = a
		}
		switch {
		case s.Outcome == ok:
			a.told = a.told || !s.Replayed
			a.known = min(a.known, s.Return)
		case s.Outcome == unknown && (a.first == nil || s.Call < a.first.Call):
			a.first = s
		}
	}
	for _, s := range all {
		a := actions[s.Action]
		p := porcupine.Operation{ClientId: s.Client, Input: named{s, a.number}, Call: int64(s.Call), Return: int64(s.Return)}
		switch {
		case s.Outcome == failed, s.Outcome == unknown && (a.told || s != a.first || s.Call > a.known):
			continue
		case s.Outcome == unknown:
			p.Return = int64(a.known)
		}
		history = append(history, p)
	}
	return history
}

// sendingsOf says how often actions were sent.
func sendingsOf(all []*sending) string {
	actions, registers, outcomes, replayed := map[string]bool{}, map[string]bool{}, map[outcome]int{}, 0
	for _, s := range all {
		actions[s.Action], registers[s.Register] = true, true
		outcomes[s.Outcome]++
		if s.Replayed {
			replayed++
		}
	}
	return fmt.Sprintf("%d actions sent to %d registers, %d times (%v), of which %d say that it was made before",
		len(actions), len(registers), len(all), outcomes, replayed)
}
