package web_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/web"
)

type list struct {
	Items []string `json:"items"`
}

type item struct {
	Title string `json:"title"`
}

func (in item) Validate() error {
	if strings.TrimSpace(in.Title) == "" {
		return stay.Invalid("title", "write something to do")
	}
	return nil
}

// A list for each browser: one route that changes and renders in one
// transaction, one that shows the form again with its errors, and one that
// reads.
func Example() {
	app := stay.New(memstore.New(), nil)
	defer app.Close(context.Background())
	lists := stay.Register(app, stay.Module[list]{
		Name:    "list",
		Persist: stay.PerSession,
		Actions: stay.Actions[list]{
			"add": stay.WithPayload(func(_ *stay.Call, l *list, in item) error {
				l.Items = append(l.Items, in.Title)
				return nil
			}),
		},
	})
	show := func(w http.ResponseWriter, _ *http.Request, l *list) error {
		_, err := fmt.Fprintf(w, "%d: %s", len(l.Items), strings.Join(l.Items, ", "))
		return err
	}

	mux := http.NewServeMux()
	mux.Handle("GET /{$}", web.View(lists, show))
	mux.Handle("POST /clear", web.Update(lists, func(w http.ResponseWriter, r *http.Request, l *list) error {
		l.Items = nil
		return show(w, r, l)
	}))
	mux.Handle("POST /add", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		form, err := web.ReadForm[item](r)
		if err != nil {
			return form.Again(err, func(w http.ResponseWriter) error {
				_, err := fmt.Fprintf(w, "title %q: %s", form.Value("title"), form.Error("title"))
				return err
			})
		}
		l, err := lists.Do(r.Context(), "add", form)
		if err != nil {
			return err
		}
		return show(w, r, l)
	}))
	server := httptest.NewServer(web.Sessions(app, nil)(mux))
	defer server.Close()

	jar, _ := cookiejar.New(nil)
	browser := http.Client{Jar: jar}
	for _, title := range []string{"milk", " ", "bread"} {
		res, err := browser.PostForm(server.URL+"/add", url.Values{"title": {title}})
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		fmt.Println(res.StatusCode, string(body))
	}
	// Output:
	// 200 1: milk
	// 422 title " ": write something to do
	// 200 2: milk, bread
}
