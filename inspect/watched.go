package inspect

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/streaming"
)

const (
	// mostWatched is how many of the states that are watched are listed.
	mostWatched = 100
	// mostViewers is how many sessions a state names that have it on a page.
	mostViewers = 10
)

// A watchedRow is a state that somebody watches.
type watchedRow struct {
	access.WatchedState
	Name, Ref string
	Oldest    *moment
}

type watchedList struct {
	Cards []card
	Rows  []watchedRow
	More  bool
}

// streams shows who watches what in this process.
func (h *handler) streams(*http.Request) *page {
	watched, now := h.core.Watched(mostWatched), time.Now()
	all := watched.All
	list := &watchedList{More: watched.More, Cards: []card{
		{Name: "Open streams", Value: number(all.Streams)},
		{Name: "The oldest", Value: age(all.Oldest, now)},
		{Name: "Slow readers", Value: number(all.Slow)},
		{Name: "Loops of Watch", Value: number(all.Others)},
	}}
	strategies := h.strategies()
	for _, w := range watched.States {
		list.Rows = append(list.Rows, watchedRow{
			w, keyName(w.Place, strategies[w.Module] == "PerSession"), h.refs.state(w.Place), momentOf(w.Oldest, now),
		})
	}
	return &page{Title: "Streams", Here: "streams", Parts: []part{{"streams", "streams", list}}}
}

// strategies are the names of the strategies, by module.
func (h *handler) strategies() map[string]string {
	of := map[string]string{}
	for _, m := range h.core.Modules() {
		of[m.Name] = m.Strategy
	}
	return of
}

// A viewer is a session that has a state on a page.
type viewer struct{ Label, Ref, User, UserRef string }

func (h *handler) viewers(p access.Place) (viewers []viewer, more bool) {
	who, more := h.core.Viewers(p, mostViewers)
	for _, w := range who {
		v := viewer{Label: sessionLabel(w.Session), Ref: h.refs.seal(refSession, w.Session), User: printable(w.User)}
		if w.User != "" {
			v.UserRef = h.refs.seal(refUser, w.User)
		}
		viewers = append(viewers, v)
	}
	return viewers, more
}

// watching says how many watch something.
func watching(n streaming.Count) string {
	var all []string
	if n.Streams > 0 {
		text := counted(n.Streams, "stream") + ", open for " + age(n.Oldest, time.Now())
		if n.Streams > 1 {
			text = counted(n.Streams, "stream") + ", the oldest for " + age(n.Oldest, time.Now())
		}
		if n.Slow > 0 {
			text += ", " + number(n.Slow) + " slow"
		}
		all = append(all, text)
	}
	if n.Others > 0 {
		all = append(all, counted(n.Others, "loop")+" of Watch")
	}
	if len(all) == 0 {
		return "nobody"
	}
	return strings.Join(all, "; ")
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%s %ss", number(n), what)
}

// age is how long ago a time was, as a moment has it.
func age(t, now time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return lasts(coarse(now.Sub(t), time.Duration.Truncate))
}
