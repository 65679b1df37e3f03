package web_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// A state that a part sees by its key and as that of the session is followed both
// ways: the session may move to another key.
//
// Proves L6.
func TestLivePartOfFollowsTwoWaysToOneState(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := newLiveSite(t, nil, func(o *stay.Options) { o.KeepCookieOnKeyChange = true })
		s.mux.HandleFunc("/go", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
			_, err := s.rooms.Update(r.Context(), func(n *Note) error { n.Name = r.FormValue("room"); return nil })
			return err
		}))
		s.mux.Handle("GET /two", web.Live(web.PartOf(s.app, "two", func(w io.Writer, r *http.Request) error {
			tea, err := web.Look(r.Context(), s.rooms.At("tea"))
			if err != nil {
				return err
			}
			here, err := web.Look(r.Context(), s.rooms)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(w, tea.Text, "|", here.Text)
			return err
		})))
		s.writeRoom(t, "tea", "Assam")
		s.writeRoom(t, "coffee", "Java")
		c := browser(s.h)
		send(t, c, "POST", "/go?room=tea", "")
		p := newTab(t, s.h, c, "/two")
		p.open()
		p.shows("two", "Assam|Assam")
		settle()
		p.post("/go?room=coffee")
		settle()
		p.read()
		p.shows("two", "Assam|Java")
		s.writeRoom(t, "coffee", "Arabica")
		settle()
		p.read()
		p.shows("two", "Assam|Arabica")
	})
}
