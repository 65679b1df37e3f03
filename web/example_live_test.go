package web_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/web"
)

type visits struct {
	N int `json:"n"`
}

// A number that is right on every page that shows it. The page has an element
// with the id visits, and asks for the stream at /live.
func ExampleLive() {
	app := stay.New(memstore.New(), nil)
	defer app.Close(context.Background())
	state := stay.Register(app, stay.Module[visits]{Name: "visits", Persist: stay.Global})

	mux := http.NewServeMux()
	mux.Handle("GET /live", web.Live(web.Part("visits", state, func(w io.Writer, v *visits) error {
		_, err := fmt.Fprintf(w, "<b>%d</b> visits", v.N)
		return err
	})))
	mux.Handle("POST /visit", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		if _, err := state.Update(r.Context(), func(v *visits) error { v.N++; return nil }); err != nil {
			return err
		}
		return web.Done(w, r, "/") // the stream brings it
	}))
	server := httptest.NewServer(web.Sessions(app, nil)(mux))
	defer server.Close()

	stream, err := http.Get(server.URL + "/live")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stream.Body.Close()
	for lines := bufio.NewScanner(stream.Body); lines.Scan(); {
		if html, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			fmt.Println(html)
			if html == "<b>1</b> visits" {
				return
			}
			res, err := http.Post(server.URL+"/visit", "", nil)
			if err != nil {
				fmt.Println(err)
				return
			}
			res.Body.Close()
		}
	}
	// Output:
	// <b>0</b> visits
	// <b>1</b> visits
}

// What follows from two states: how many lines of a board this browser has not read.
// One function makes it for the page and for the stream.
func ExamplePartOf() {
	app := stay.New(memstore.New(), nil)
	defer app.Close(context.Background())
	type Board struct {
		Lines int `json:"lines"`
	}
	type Read struct {
		Lines int `json:"lines"`
	}
	board := stay.Register(app, stay.Module[Board]{Name: "board", Initial: Board{Lines: 3}, Persist: stay.Global})
	read := stay.Register(app, stay.Module[Read]{Name: "read", Initial: Read{Lines: 1}, Persist: stay.PerSession})

	unread := func(w io.Writer, r *http.Request) error {
		b, err := web.Look(r.Context(), board)
		if err != nil {
			return err
		}
		mine, err := web.Look(r.Context(), read)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%d unread", b.Lines-mine.Lines)
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /live", web.Live(web.PartOf(app, "unread", unread)))
	mux.Handle("GET /{$}", web.Handle(func(w http.ResponseWriter, r *http.Request) error { return unread(w, r) }))

	w := httptest.NewRecorder()
	web.Sessions(app, nil)(mux).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	fmt.Println(w.Body)
	// Output: 2 unread
}
