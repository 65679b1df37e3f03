package web_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/sse"
	"github.com/stay-go/stay/internal/sse/ssetest"
	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/web"
)

// A release renders the boards of a page. Another one may render some of them in
// another way.
type release struct {
	path    string
	changed map[int]bool // the boards that it renders differently
}

func (l release) render(i int, text string) string {
	if l.changed[i] {
		return "<i>" + text + "</i>"
	}
	return text
}

// texts are what boards say: all that could disturb a stream.
var texts = []string{"", "a", "<b>a</b>\n<b>b</b>", "a\r\nb\rc\n\n", "id: x\n\nevent: y", ": ", "data: z\n", " a", "€"}

// Wherever a stream is cut off, the client that comes back to whatever is there by
// then, in the same release or in another, shows what a fresh page shows. And what
// it had is not sent again, but for a burst that did not come to its end.
//
// Proves L7, L8, L9, L20.
func TestStreamsCutAtEveryByteResume(t *testing.T) {
	seed := testseed.New(t)
	for _, d := range dialects {
		t.Run(fmt.Sprint(d), func(t *testing.T) {
			inBubble(t, func(t *testing.T) { resume(t, d, rand.New(rand.NewPCG(seed, uint64(d)))) })
		})
	}
}

func resume(t *testing.T, d sse.Dialect, random *rand.Rand) {
	const boards = 3
	s := newLiveSite(t, nil)
	states := make([]*stay.State[Board], boards)
	now := make([]string, boards)
	shown := func(i int) string { // the last shows two
		if i == boards-1 {
			return now[0] + now[i]
		}
		return now[i]
	}
	releases := []release{{"/r0", nil}, {"/r1", map[int]bool{random.IntN(boards): true}}}
	for i := range states {
		states[i] = stay.Register(s.app, stay.Module[Board]{Name: fmt.Sprintf("b%d", i), Persist: stay.Global})
	}
	for _, l := range releases {
		parts := make([]web.LivePart, boards)
		for i := range states {
			parts[i] = web.Part(fmt.Sprintf("b%d", i), states[i], func(w io.Writer, b *Board) error {
				_, err := io.WriteString(w, l.render(i, b.Text))
				return err
			})
		}
		parts[boards-1] = web.PartOf(s.app, fmt.Sprintf("b%d", boards-1), func(w io.Writer, r *http.Request) error {
			first, err := web.Look(r.Context(), states[0])
			if err != nil {
				return err
			}
			last, err := web.Look(r.Context(), states[boards-1])
			if err != nil {
				return err
			}
			_, err = io.WriteString(w, l.render(boards-1, first.Text+last.Text))
			return err
		})
		s.mux.Handle("GET "+l.path, web.Live(parts...))
	}
	change := func() {
		for i := range states {
			if random.IntN(2) == 0 {
				continue
			}
			now[i] = texts[random.IntN(len(texts))]
			if _, err := states[i].Update(t.Context(), func(b *Board) error { b.Text = now[i]; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		settle()
	}

	// A stream of some bursts, as bytes.
	change()
	whole := newTab(t, s.h, browser(s.h), releases[0].path)
	whole.dialect = d
	whole.page = nil
	stream := record(whole, func() {
		for range 5 {
			change()
		}
	})

	ids := []string{""} // by how much has arrived
	client := ssetest.New(d)
	for i := range stream {
		client.Feed(stream[i : i+1])
		ids = append(ids, client.Read().ID)
	}

	for cut := range len(stream) + 1 {
		l := releases[random.IntN(2)]
		if random.IntN(8) == 0 {
			change()
		}
		c := ssetest.New(d)
		c.Feed(stream[:cut])
		p := newTab(t, s.h, whole.browser, l.path)
		p.dialect, p.id = d, c.Read().ID
		show(t, p.page, d, c.Read().Messages)
		// What the id says that the page has: what it had when it read that id,
		// without the parts that the id does not name.
		had := map[string]string{}
		if p.id != "" {
			end := cut
			for end > 0 && ids[end-1] == p.id { // to where the id came
				end--
			}
			c = ssetest.New(d)
			c.Feed(stream[:end])
			show(t, had, d, c.Read().Messages)
			have := make(sse.ID, boards)
			if !have.Parse(p.id) {
				t.Fatalf("cut at %d: the client has the id %q", cut, p.id)
			}
			for i, print := range have {
				if print == 0 {
					delete(had, fmt.Sprintf("b%d", i))
				}
			}
		}

		sent := opened(p)
		var want []string
		for i := range states {
			id := fmt.Sprintf("b%d", i)
			fresh := read(d, l.render(i, shown(i)))
			if p.page[id] != fresh {
				t.Fatalf("cut at %d of %d: #%s shows %q, a fresh page %q", cut, len(stream), id, p.page[id], fresh)
			}
			if old, ok := had[id]; !ok || old != fresh {
				want = append(want, id)
			}
		}
		if !slices.Equal(sent, want) {
			t.Fatalf("cut at %d of %d: %q was sent, and %q is different", cut, len(stream), sent, want)
		}
		p.close()
	}
}

// record returns the bytes of a stream.
func record(p *tab, during func()) []byte {
	p.t.Helper()
	var stream []byte
	p.page = map[string]string{}
	p.open()
	stream = append(stream, p.raw...)
	during()
	p.read()
	stream = append(stream, p.raw[len(stream):]...)
	p.close()
	return stream
}

// opened opens a stream and returns the ids of the parts that it brings.
func opened(p *tab) []string {
	p.t.Helper()
	p.changed = nil
	p.open()
	return p.changed
}

// show has a page take messages.
func show(t *testing.T, page map[string]string, d sse.Dialect, messages []ssetest.Message) {
	t.Helper()
	patches, err := ssetest.Patches(d, messages)
	if err != nil {
		t.Fatal(err)
	}
	for _, patch := range patches {
		page[patch.ID] = patch.HTML
	}
}

// read is a text as a client reads it.
func read(d sse.Dialect, text string) string {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	if d != sse.Fragments {
		return text
	}
	lines := strings.Split("<template>"+text+"</template>", "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.TrimSuffix(strings.TrimPrefix(strings.Join(lines, "\n"), "<template>"), "</template>")
}

// After a kill, when nobody could tell clients when to come back, they come back
// after what they were told at the beginning.
//
// Proves L17.
func TestClientsKnowWhenToComeBackFromTheBeginning(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil)
		times := map[time.Duration]bool{}
		for i := range 20 {
			p := newTab(t, s.h, browser(s.h), "/public")
			p.dialect = dialects[i%4]
			p.open()
			times[p.retry] = true
			if p.retry < 100*time.Millisecond || p.retry > 1100*time.Millisecond {
				t.Errorf("dialect %d: %v", p.dialect, p.retry)
			}
		}
		if len(times) < 10 {
			t.Errorf("20 clients come back at %d times", len(times))
		}
	})
}
