package bench_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// BenchmarkModules shows what one request costs that uses several modules of
// its session, one after the other, behind web.Sessions and without a network.
func BenchmarkModules(b *testing.B) {
	for _, st := range stores {
		for _, n := range []int{1, 2, 5, 10} {
			b.Run(fmt.Sprintf("%s/modules=%d", st.name, n), func(b *testing.B) {
				app := newApp(b, st.open(b), stay.Options{})
				modules := make([]*stay.State[state], n)
				for i := range modules {
					modules[i] = stay.Register(app, stay.Module[state]{Name: fmt.Sprintf("module-%d", i), Initial: initial, Persist: stay.PerSession})
				}
				all := func(fn func(r *http.Request, module *stay.State[state]) error) http.HandlerFunc {
					return web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
						for _, module := range modules {
							if err := fn(r, module); err != nil {
								return err
							}
						}
						return nil
					})
				}
				mux := http.NewServeMux()
				mux.HandleFunc("POST /", all(func(r *http.Request, module *stay.State[state]) error {
					_, err := module.Update(r.Context(), increment)
					return err
				}))
				mux.HandleFunc("GET /", all(func(r *http.Request, module *stay.State[state]) error {
					_, err := module.Get(r.Context())
					return err
				}))
				v := visitor{handler: web.Sessions(app, nil)(mux)}
				if err := v.ask(http.MethodPost); err != nil {
					b.Fatal(err)
				}
				for _, op := range []struct{ name, method string }{{"Get", http.MethodGet}, {"Update", http.MethodPost}} {
					b.Run(op.name, func(b *testing.B) {
						run(b, 1, func(int, int) error { return v.ask(op.method) })
						b.ReportMetric(float64(b.Elapsed())/float64(b.N*n), "ns/module")
					})
				}
			})
		}
	}
}

// A visitor is one browser without a network. It keeps the cookies of its
// first answer.
type visitor struct {
	handler http.Handler
	cookies []*http.Cookie
}

func (v *visitor) ask(method string) error {
	r := httptest.NewRequest(method, "/", http.NoBody)
	for _, cookie := range v.cookies {
		r.AddCookie(cookie)
	}
	w := httptest.NewRecorder()
	v.handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return fmt.Errorf("%s: status %d: %s", method, w.Code, w.Body)
	}
	if v.cookies == nil {
		v.cookies = w.Result().Cookies()
	}
	return nil
}
