package faults_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// Headers of the site's answers.
const (
	codeHeader    = "Code"    // of the error
	sessionHeader = "Session" // the ID of the session that answered
	userHeader    = "User"    // and whom it belongs to
)

// site is the node's states over HTTP.
func (n *node) site() http.Handler {
	mux := http.NewServeMux()
	whose := func(w http.ResponseWriter, ctx context.Context) {
		s := stay.SessionFrom(ctx)
		w.Header().Set(sessionHeader, s.ID())
		w.Header().Set(userHeader, s.User())
	}
	show := func(w http.ResponseWriter, ctx context.Context, l *List) error {
		whose(w, ctx)
		return json.NewEncoder(w).Encode(l.Items)
	}
	for path, state := range map[string]*stay.State[List]{"/mine": n.mine, "/ours": n.ours, "/all": n.all} {
		mux.Handle("POST "+path, web.Update(state, func(w http.ResponseWriter, r *http.Request, l *List) error {
			l.Items = append(l.Items, r.FormValue("word"))
			return show(w, r.Context(), l)
		}))
		mux.Handle("GET "+path, web.View(state, func(w http.ResponseWriter, r *http.Request, l *List) error {
			return show(w, r.Context(), l)
		}))
	}
	handle := func(pattern string, fn func(ctx context.Context, r *http.Request) error) {
		mux.Handle(pattern, web.Handle(func(w http.ResponseWriter, r *http.Request) error {
			err := fn(r.Context(), r)
			whose(w, r.Context())
			return err
		}))
	}
	handle("POST /login", func(ctx context.Context, r *http.Request) error {
		return stay.SessionFrom(ctx).Login(ctx, r.FormValue("user"))
	})
	handle("POST /logout", func(ctx context.Context, _ *http.Request) error { return stay.SessionFrom(ctx).Logout(ctx) })
	handle("POST /renew", func(ctx context.Context, _ *http.Request) error { return stay.SessionFrom(ctx).Renew(ctx) })
	handle("POST /destroy", func(ctx context.Context, _ *http.Request) error { return stay.SessionFrom(ctx).Destroy(ctx) })
	handle("POST /revoke", func(ctx context.Context, r *http.Request) error { return n.app.Revoke(ctx, r.FormValue("user")) })
	handle("GET /who", func(context.Context, *http.Request) error { return nil })
	// What a program keeps under the session's ID.
	mux.Handle("GET /byid", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		l, err := n.mine.At(stay.SessionFrom(r.Context()).ID()).Get(r.Context())
		if err != nil {
			return err
		}
		return show(w, r.Context(), l)
	}))
	mux.Handle("POST /byid", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		l, err := n.mine.At(stay.SessionFrom(r.Context()).ID()).Update(r.Context(), func(l *List) error {
			l.Items = append(l.Items, r.FormValue("word"))
			return nil
		})
		if err != nil {
			return err
		}
		return show(w, r.Context(), l)
	}))
	mux.Handle("POST /upload", web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		if err := r.ParseMultipartForm(1 << 10); err != nil { // the rest goes to a file
			return stay.ErrMalformed
		}
		return nil
	}))
	return web.Sessions(n.app, &web.Options{Error: func(w http.ResponseWriter, _ *http.Request, _ int, err error) {
		w.Header().Set(codeHeader, string(stay.CodeOf(err)))
	}})(mux)
}

// A street is a world with a server for each node.
type street struct {
	*world
	servers   []*httptest.Server
	transport *http.Transport
	phases    int // that have begun
}

func (s *street) open() {
	s.servers = nil
	for _, n := range s.nodes {
		s.servers = append(s.servers, httptest.NewServer(n.site()))
	}
	s.transport = &http.Transport{MaxIdleConnsPerHost: 32}
}

// shut ends the servers, which wait for what is under way.
func (s *street) shut() {
	s.transport.CloseIdleConnections()
	for _, server := range s.servers {
		server.Close()
	}
}

// An answer is what came back for a request.
type answer struct {
	code    stay.Code // "" if it went well
	lost    bool      // nobody knows what became of it
	session string
	user    string
	items   []string
	set     bool   // a cookie was set
	cookie  string // "" if it was cleared
}

// ask makes a request to a node. The client holds the cookies.
func (s *street) ask(ctx context.Context, c *http.Client, node int, method, path string, form url.Values) answer {
	r, err := http.NewRequestWithContext(ctx, method, s.servers[node].URL+path+"?"+form.Encode(), nil)
	if err != nil {
		s.t.Error(err)
		return answer{lost: true}
	}
	return s.do(c, r)
}

func (s *street) do(c *http.Client, r *http.Request) answer {
	began := time.Now()
	res, err := c.Do(r)
	if err != nil {
		// A connection may end with the request that began to make it.
		if r.Context().Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
			s.t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		return answer{lost: true}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	took := int64(time.Since(began))
	for worst := s.worst.Load(); took > worst && !s.worst.CompareAndSwap(worst, took); worst = s.worst.Load() {
	}
	a := answer{session: res.Header.Get(sessionHeader), user: res.Header.Get(userHeader), code: stay.Code(res.Header.Get(codeHeader))}
	for _, set := range res.Cookies() {
		if set.Name == "stay" {
			a.set, a.cookie = true, set.Value
		}
	}
	switch {
	case err != nil:
		a.lost = true
	case res.StatusCode == http.StatusOK:
		_ = json.Unmarshal(body, &a.items) // not all have any
	case a.code == "":
		s.t.Errorf("%s %s: status %d without a code: %s", r.Method, r.URL.Path, res.StatusCode, body)
	}
	return a
}

// client returns one with cookies of its own.
func (s *street) client() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &http.Client{Transport: s.transport, Jar: jar}
}

// cookie is what a client would send.
func (s *street) cookie(c *http.Client) string {
	u, err := url.Parse(s.servers[0].URL)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, cookie := range c.Jar.Cookies(u) {
		if cookie.Name == "stay" {
			return cookie.Value
		}
	}
	return ""
}

// replay makes a request with a cookie, and keeps none.
func (s *street) replay(node int, method, path, cookie, word string) answer {
	r, err := http.NewRequestWithContext(context.Background(), method, s.servers[node].URL+path+"?word="+word, nil)
	if err != nil {
		s.t.Error(err)
		return answer{lost: true}
	}
	r.Header.Set("Cookie", "stay="+cookie)
	return s.do(&http.Client{Transport: s.transport}, r)
}

// upload sends a form with a file that does not fit into memory.
func (s *street) upload(node int) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	f, err := form.CreateFormFile("file", "file")
	if err == nil {
		_, err = f.Write(make([]byte, 64<<10))
	}
	if err == nil {
		err = form.Close()
	}
	if err != nil {
		s.t.Error(err)
		return
	}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.servers[node].URL+"/upload", &body)
	if err != nil {
		s.t.Error(err)
		return
	}
	r.Header.Set("Content-Type", form.FormDataContentType())
	if a := s.do(&http.Client{Transport: s.transport}, r); a.code != "" {
		s.t.Error(fmt.Errorf("upload: %w", a.code))
	}
}
