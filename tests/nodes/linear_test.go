package nodes_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/stay-go/stay/tests/internal/nodesite"
)

const window = nodesite.Window

// How long one register's history may take to check. It is milliseconds unless
// many operations have an outcome that nobody has found out.
const linearTime = time.Minute

// registerModel is a register on one machine.
var registerModel = porcupine.Model{
	Init: func() any { return value{} },
	Step: func(state, input, output any) (bool, any) {
		v, in, out := state.(value), input.(*op), output.(answered)
		switch in.Kind {
		case add:
			v.Count, v.Seq = v.Count+1, v.Seq+1
		case merge:
			v.Count, v.Seq = v.Count+in.Addend.Count, v.Seq+in.Addend.Seq
		case reset:
			v.Count = 0
		}
		return (!out.seq || v.Seq == out.Seq) && (!out.count || v.Count == out.Count), v
	},
	DescribeOperation: func(input, _ any) string { return input.(*op).String() },
	DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state) },
}

// An answered is what is known of the register right after an operation.
type answered struct {
	value
	count, seq bool
}

// checkLinear checks that one register on one machine could have given all
// answers in an order in which each operation stands between its call and its
// return.
func (c *checker) checkLinear(r *register) {
	history := c.linear(r)
	switch result, info := porcupine.CheckOperationsVerbose(registerModel, history, linearTime); result {
	case porcupine.Illegal:
		c.wrong("%s: not linearizable: %s", r.name, stuck(history, info))
	case porcupine.Unknown:
		c.wrong("%s: nobody can say in %v whether its %d operations are linearizable", r.name, linearTime, len(history))
	}
}

// linear are the operations of a register for the checker. A change with an
// unknown outcome has happened if a later answer shows it, where that shows it.
// Otherwise it has not happened before any answer, and is left out.
func (c *checker) linear(r *register) (history []porcupine.Operation) {
	for _, o := range r.ops {
		p := porcupine.Operation{ClientId: o.Client, Input: o, Call: int64(o.Call), Return: int64(o.Return), Output: answered{}}
		switch {
		case o.Outcome == failed:
			continue
		case o.Shown != nil:
			p.Output = answered{o.Shown.value, true, true}
		case o.Kind == add:
			seen := r.known[o.ID]
			if seen == nil {
				continue
			}
			p.Return = int64(seen.by.Return)
			p.Output = answered{value{Seq: seen.place}, false, true}
		case o.Kind == merge && o.Outcome == unknown:
			seen := c.arrived(r, o)
			if seen == nil {
				continue
			}
			p.Return = int64(seen.Return)
		case o.Outcome == unknown:
			p.Return = int64(never)
		}
		history = append(history, p)
	}
	return history
}

// arrived returns the first answer that shows a change of the guest whom an
// operation has brought along.
func (c *checker) arrived(r *register, o *op) (first *op) {
	if o.From == "" {
		return nil
	}
	for _, change := range c.register(o.From).ops {
		if seen := r.known[change.ID]; seen != nil && (first == nil || seen.by.Return < first.Return) {
			first = seen.by
		}
	}
	return first
}

// stuck says how far the checker came.
func stuck(history []porcupine.Operation, info porcupine.LinearizationInfo) string {
	var longest []porcupine.Operation
	for _, partition := range info.PartialLinearizationsOperations() {
		for _, order := range partition {
			if len(order) > len(longest) {
				longest = order
			}
		}
	}
	placed := map[any]bool{}
	for _, p := range longest {
		placed[p.Input] = true
	}
	text := fmt.Sprintf("%d of %d operations can be put in order", len(longest), len(history))
	for _, p := range longest[max(len(longest)-3, 0):] {
		text += fmt.Sprint("\n\tplaced: ", p.Input)
	}
	slices.SortFunc(history, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	left := 0
	for _, p := range history {
		if !placed[p.Input] && left < 5 {
			left++
			text += fmt.Sprint("\n\tnot placed: ", p.Input)
		}
	}
	return text
}
