package web_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/web"
)

// A server for remote calls, with metadata beside each call and each answer, as
// in gRPC. The interceptor begins the visit and adds its headers to the answer;
// the method uses state with the context that it gets.
func ExampleVisits() {
	type metadata map[string][]string
	type method func(ctx context.Context) (int, error)

	app := stay.New(memstore.New(), nil)
	defer app.Close(context.Background())
	counter := stay.Register(app, stay.Module[Counter]{Name: "counter", Persist: stay.PerSession})
	increment := func(ctx context.Context) (int, error) {
		c, err := counter.Update(ctx, func(c *Counter) error {
			c.Count++
			return nil
		})
		if err != nil {
			return 0, err
		}
		return c.Count, nil
	}

	begin := web.Visits(app, nil)
	intercept := func(ctx context.Context, in, out metadata, next method) (int, error) {
		r := &http.Request{Method: http.MethodPost, Host: "app.test", Header: http.Header(in)}
		visit, err := begin(r.WithContext(ctx))
		if err != nil {
			return 0, err
		}
		defer func() {
			for name, lines := range visit.End() {
				out[name] = append(out[name], lines...)
			}
		}()
		return next(visit.Context())
	}

	cookie := ""
	for range 3 {
		out := metadata{}
		n, err := intercept(context.Background(), metadata{"cookie": {cookie}}, out, increment)
		fmt.Println(n, err, len(out["Set-Cookie"]))
		for _, line := range out["Set-Cookie"] {
			cookie, _, _ = strings.Cut(line, ";") // as a browser keeps it
		}
	}
	// Output:
	// 1 <nil> 1
	// 2 <nil> 0
	// 3 <nil> 0
}
