package web_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// Every value of Stay that a handler prints or logs hides the cookie and the
// keys that sign it. A request prints its own header, cookie included, as in
// net/http.
//
// Proves B3, W1.
func TestPrintingInAHandlerShowsNoSecret(t *testing.T) {
	s := newSite(t)
	key := bytes.Repeat([]byte("k3Y!"), 8)
	options := web.Options{Cookie: "shop", Keys: [][]byte{key, key}, MaxBody: 77}
	printed := map[string]any{
		"options": options, "a pointer to options": &options, "options in a struct": struct{ Web web.Options }{options},
		"a map of options": map[string]web.Options{"shop": options}, "actions": web.Actions(s.counter),
	}
	note := func(what string, w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		for name, v := range map[string]any{
			"response": w, "response in a struct": struct{ w http.ResponseWriter }{w},
			"context": ctx, "context in a struct": struct{ ctx any }{ctx},
			"session": stay.SessionFrom(ctx), "session in a struct": struct{ s *stay.Session }{stay.SessionFrom(ctx)},
		} {
			printed[what+": "+name] = v
		}
	}
	mux := http.NewServeMux()
	mux.Handle("POST /login", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		defer note("a login", w, r)
		return stay.SessionFrom(r.Context()).Login(r.Context(), "ann.smith")
	}))
	mux.Handle("GET /view", web.View(s.counter, func(w http.ResponseWriter, r *http.Request, _ *Counter) error {
		note("a view", w, r)
		return nil
	}))
	mux.HandleFunc("GET /plain", func(w http.ResponseWriter, r *http.Request) { note("a plain handler", w, r) })
	h := web.Sessions(s.app, &options)(mux)
	printed["a handler"] = h
	secrets := map[string]string{"user": "ann.smith", "key": string(key)}
	cookie := ""
	for i, target := range []string{"POST /login", "POST /login", "GET /view", "GET /plain"} {
		method, path, _ := strings.Cut(target, " ")
		r := httptest.NewRequest(method, "http://app.test"+path, nil)
		if cookie != "" {
			r.Header.Set("Cookie", "shop="+cookie)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		for _, c := range w.Result().Cookies() {
			cookie = c.Value
			secrets[fmt.Sprint("cookie ", i)] = cookie
		}
		if w.Code != http.StatusOK {
			t.Fatalf("%s is answered with %d", target, w.Code)
		}
	}
	if len(secrets) < 4 || len(printed) != 6+3*6 {
		t.Fatalf("there are %d secrets in %d things", len(secrets), len(printed))
	}
	for what, v := range printed {
		var texts []string
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
			texts = append(texts, fmt.Sprintf(verb, v))
		}
		var b bytes.Buffer
		slog.New(slog.NewTextHandler(&b, nil)).Info("x", "it", v)
		slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "it", v)
		asJSON, _ := json.Marshal(v)
		for _, text := range append(texts, b.String(), string(asJSON)) {
			for name, secret := range secrets {
				decimals := strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]")
				for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), decimals, base64.StdEncoding.EncodeToString([]byte(secret))} {
					if strings.Contains(text, form) {
						t.Errorf("%s shows the %s: %q", what, name, text)
					}
				}
			}
		}
	}
	if got := fmt.Sprintf("%+v", options); !strings.Contains(got, `"shop"`) || !strings.Contains(got, "77") || !strings.Contains(got, "2 hidden") {
		t.Errorf("options are printed as %s", got)
	}
}
