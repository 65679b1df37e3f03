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
