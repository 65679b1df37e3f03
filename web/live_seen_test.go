package web_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/memstore"
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

// A damaged record leaves a part as it is until it is repaired, by another node too:
// then the part is made again, whether its function had to read that record only or
// had seen others before.
//
// Proves L19.
func TestLivePartOfIsMadeAgainWhenARecordIsRepaired(t *testing.T) {
	for _, before := range []bool{false, true} {
		t.Run(fmt.Sprint(before), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				nodes := memstore.Shared(2)
				write := func(base store.Revision, value string) {
					t.Helper()
					res := nodes[1].Commit(t.Context(), []store.Group{{{Key: "global/board/", Base: base, Value: []byte(value), Version: 1}}})
					if res[0].Err != nil {
						t.Fatal(res[0].Err)
					}
				}
				write(0, "{")
				app := stay.New(nodes[0], &stay.Options{Logger: slog.New(slog.DiscardHandler)})
				t.Cleanup(func() { app.Close(context.Background()) })
				board := stay.Register(app, stay.Module[Board]{Name: "board", Persist: stay.Global})
				other := stay.Register(app, stay.Module[Board]{Name: "other", Persist: stay.Global})
				h := web.Sessions(app, nil)(web.Live(web.PartOf(app, "part", func(w io.Writer, r *http.Request) error {
					if before {
						if _, err := web.Look(r.Context(), other); err != nil {
							return err
						}
					}
					b, err := web.Look(r.Context(), board)
					if err != nil {
						return err
					}
					return showBoard(w, b)
				})))
				p := newTab(t, h, browser(h), "/")
				p.page["part"] = "shown before"
				p.open()
				sleep(time.Minute)
				p.want()
				recs, err := nodes[1].Load(t.Context(), []store.Read{{Key: "global/board/"}})
				if err != nil {
					t.Fatal(err)
				}
				write(recs[0].Revision, `{"text":"repaired"}`)
				sleep(time.Minute)
				p.read()
				p.shows("part", "repaired")
			})
		})
	}
}
