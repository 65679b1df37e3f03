package nodesite

// Window is how many changes a register remembers. It is more than the changes
// that can be under way at once, so what readers see shows what became of every
// change.
const Window = 64

// A Register counts, and knows the last changes that it has counted.
type Register struct {
	// Count is the number of changes since the last reset.
	Count int `json:"count"`
	// Seq is the number of changes there ever were, and Last the names of the
	// latest.
	Seq  int      `json:"seq" stay:"preserve"`
	Last []string `json:"last" stay:"preserve"`
}

// add counts a change.
func (r *Register) add(op string) {
	r.Count++
	r.Seq++
	r.remember(op)
}

// merge counts the changes of another register.
func (r *Register) merge(other *Register) {
	r.Count += other.Count
	r.Seq += other.Seq
	r.remember(other.Last...)
}

func (r *Register) remember(ops ...string) {
	r.Last = append(r.Last, ops...)
	if over := len(r.Last) - Window; over > 0 {
		r.Last = append([]string(nil), r.Last[over:]...)
	}
}

// A Keyed is a register of the one that its key names.
type Keyed struct {
	Key string `json:"key" stay:"key"`
	Register
}
