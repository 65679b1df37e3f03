package memory_test

import (
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stay-go/stay/internal/testkit"

	"github.com/stay-go/stay"
)

// A page of a wiki, say, as exact as JSON is.
type page struct {
	Count   int
	Title   string
	Lines   []string
	Authors map[string]string
	Last    *line
}

type line struct{ Text string }

// A free page is one that JSON does not keep as it is.
type freePage struct {
	Title string
	Any   any
}

// largeText returns a text of 1 MiB, as of a request's body, and a channel that
// is closed when it has left memory.
func largeText() (text string, gone <-chan struct{}) {
	b := []byte(strings.Repeat("abcdefgh", 1<<17))
	c := make(chan struct{})
	runtime.AddCleanup(&b[0], func(c chan struct{}) { close(c) }, c)
	return unsafe.String(&b[0], len(b)), c
}

func wantGone(t *testing.T, gone <-chan struct{}, what string) {
	t.Helper()
	for range 100 {
		runtime.GC()
		select {
		case <-gone:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Errorf("%s keeps all of the text in memory that it is a small part of", what)
}

// Of a large text, such as a field of a form, only the part that a state keeps
// stays in memory, however it came into the state; the same holds for the
// state's key.
//
// Proves E6.
func TestStateKeepsNoLargeText(t *testing.T) {
	testkit.OnEachApp(t, func(t *testing.T, app *stay.App) {
		pages := stay.Register(app, stay.Module[page]{Name: "pages", Persist: stay.Global})
		free := stay.Register(app, stay.Module[freePage]{Name: "free", Persist: stay.Global})
		users := stay.Register(app, stay.Module[testkit.Counter]{Name: "users", Persist: stay.PerUser})
		var created string
		hooked := stay.Register(app, stay.Module[testkit.Counter]{
			Name: "hooked", Persist: stay.Global,
			OnCreated: func(_ *stay.Call, c *testkit.Counter) error { c.Label = created; return nil },
		})
		keeps := func(what string, fn func(text string) error) {
			t.Helper()
			text, gone := largeText()
			if err := fn(text); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			wantGone(t, gone, what)
		}
		set := func(what string, fn func(p *page, text string)) {
			t.Helper()
			keeps(what, func(text string) error {
				_, err := pages.Update(t.Context(), func(p *page) error {
					p.Count++
					fn(p, text)
					return nil
				})
				return err
			})
		}
		set("a field", func(p *page, text string) { p.Title = text[1:4] })
		set("an empty field", func(p *page, text string) { p.Title = text[4:4] })
		set("an item", func(p *page, text string) { p.Lines = append(p.Lines, text[2:5]) })
		set("one more item", func(p *page, text string) { p.Lines = append(p.Lines, text[3:6]) })
		set("the key of a map", func(p *page, text string) { p.Authors = map[string]string{text[1:5]: "ada"} })
		set("the value of a map", func(p *page, text string) { p.Authors["bcde"] = text[3:7] })
		set("what a pointer leads to", func(p *page, text string) { p.Last = &line{text[5:6]} })
		keeps("an any", func(text string) error {
			_, err := free.Update(t.Context(), func(p *freePage) error {
				p.Title, p.Any = text[1:3], map[string]any{text[2:4]: []any{text[3:5]}}
				return nil
			})
			return err
		})
		keeps("a key", func(text string) error {
			_, err := users.At(text[7:15]).Update(t.Context(), testkit.Increment)
			return err
		})
		keeps("a user", func(text string) error {
			ctx := testkit.NewBrowser(app).Ctx()
			err := stay.SessionFrom(ctx).Login(ctx, text[1:3])
			if err == nil {
				_, err = users.Update(ctx, testkit.Increment)
			}
			return err
		})
		keeps("what a hook left", func(text string) error {
			created = text[1:3]
			_, err := hooked.Update(t.Context(), testkit.Increment)
			created = ""
			return err
		})
		got, err := pages.Get(t.Context())
		want := &page{Count: 7, Lines: []string{"cde", "def"}, Authors: map[string]string{"bcde": "defg"}, Last: &line{"f"}}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}
