package golden

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store"
)

// An httpRun is a case of http/ under way.
type httpRun struct {
	ctx     context.Context
	c       *httpCase
	disk    *disk
	app     *stay.App
	handler atomic.Pointer[http.Handler] // of the app
	url     *url.URL
	client  *http.Client
	jars    map[string]http.CookieJar
	tokens  map[string]string // the session that each token was issued to
	seen    map[string]bool   // the sessions of earlier answers
}

// A reply is an answer, read to its end.
type reply struct {
	status  int
	header  http.Header
	body    []byte
	cookie  string // the Set-Cookie line of the session, "" if there is none
	token   string
	session string
}

// run runs the case on an empty store, which the caller closes.
func (c *httpCase) run(ctx context.Context, s store.Store) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r := &httpRun{
		ctx: ctx, c: c, disk: newDisk(s),
		jars: map[string]http.CookieJar{}, tokens: map[string]string{}, seen: map[string]bool{},
	}
	if err := r.start(); err != nil {
		return err
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		(*r.handler.Load()).ServeHTTP(w, req)
	}))
	defer func() {
		server.Close()
		err = errors.Join(err, r.app.Close(ctx))
	}()
	if r.url, err = url.Parse(server.URL); err != nil {
		return err
	}
	// The jar is kept here: requests that are sent at once carry what it held
	// before the first of them.
	r.client = &http.Client{
		Transport:     server.Client().Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for i := range c.steps {
		if err := r.step(&c.steps[i]); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	if err := r.app.Close(ctx); err != nil {
		return fmt.Errorf("closing the app: %w", err)
	}
	stored, err := r.storedSessions()
	if err == nil && len(stored) != c.stored {
		err = fmt.Errorf("%d sessions have records in the store, want %d", len(stored), c.stored)
	}
	return err
}

// start starts an app on the disk.
func (r *httpRun) start() error {
	r.app = stay.New(&handle{disk: r.disk, faults: &faults{}}, options())
	h, err := r.c.newSite(r.app, r.c.setup)
	if err != nil {
		return errors.Join(err, r.app.Close(r.ctx))
	}
	r.handler.Store(&h)
	return nil
}

// storedSessions returns the sessions that have records of whatever kind.
func (r *httpRun) storedSessions() (map[string]bool, error) {
	records, err := r.disk.records()
	out := map[string]bool{}
	for key := range records {
		parts := strings.Split(key, "/") // kind/module/session or stay/session/session
		if len(parts) == 3 && (parts[0] == "session" || parts[0] == "guest" || parts[0] == "stay" && parts[1] == "session") {
			out[parts[2]] = true
		}
	}
	return out, err
}

func (r *httpRun) step(s *httpStep) error {
	if s.restart {
		if err := r.app.Close(r.ctx); err != nil {
			return fmt.Errorf("closing the app: %w", err)
		}
		return r.start()
	}
	var err error
	if s.concurrent {
		err = r.together(s)
	} else {
		for range s.times {
			if err = r.once(s); err != nil {
				break
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%s %s of %s: %w", s.method, s.path, s.user, err)
	}
	return nil
}

// once makes one request and checks its answer.
func (r *httpRun) once(s *httpStep) error {
	cookies, err := r.cookies(s)
	if err != nil {
		return err
	}
	own := r.sessionOf(s)
	a, err := r.send(s, cookies)
	if err != nil {
		return err
	}
	fresh := r.take(s, a)
	errs := []error{s.want.each(a)}
	if w := s.want.Body; w != nil {
		ok, err := sameBody(w, a.body)
		if err == nil && !ok {
			err = fmt.Errorf("the body is %q, want %s", a.body, w)
		}
		errs = append(errs, err)
	}
	if w := s.want.SetCookie; w != nil && *w != (a.token != "") {
		errs = append(errs, fmt.Errorf("setting a cookie: %q, want %v", a.cookie, *w))
	}
	switch w := s.want.NewSession; {
	case w == nil:
	case *w && !fresh:
		errs = append(errs, fmt.Errorf("the session is %q, want a new one", a.session))
	case !*w && a.session != "" && a.session != own:
		errs = append(errs, fmt.Errorf("the session is %q, want that of the user, %q", a.session, own))
	}
	return errors.Join(errs...)
}

// together makes requests at the same time and checks their answers.
func (r *httpRun) together(s *httpStep) error {
	cookies, err := r.cookies(s)
	if err != nil {
		return err
	}
	replies := make([]*reply, s.times)
	errs := make([]error, s.times)
	var all sync.WaitGroup
	for i := range s.times {
		all.Go(func() { replies[i], errs[i] = r.send(s, cookies) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	setCookies, newSessions := 0, 0
	left := slices.Clone(s.want.Bodies)
	for _, a := range replies {
		errs = append(errs, s.want.each(a))
		if r.take(s, a) {
			newSessions++
		}
		if a.token != "" {
			setCookies++
		}
		if s.want.Bodies == nil {
			continue
		}
		i := slices.IndexFunc(left, func(w json.RawMessage) bool {
			ok, _ := sameBody(w, a.body) // what is no JSON is not the one that is wanted
			return ok
		})
		if i < 0 {
			errs = append(errs, fmt.Errorf("the body %q is not wanted; left are %s", a.body, left))
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	if w := s.want.SetCookies; w != nil && *w != setCookies {
		errs = append(errs, fmt.Errorf("%d answers set a cookie, want %d", setCookies, *w))
	}
	if w := s.want.NewSessions; w != nil && *w != newSessions {
		errs = append(errs, fmt.Errorf("%d answers came from new sessions, want %d", newSessions, *w))
	}
	return errors.Join(errs...)
}

func (r *httpRun) jar(user string) (http.CookieJar, error) {
	if jar := r.jars[user]; jar != nil {
		return jar, nil
	}
	jar, err := cookiejar.New(nil)
	r.jars[user] = jar
	return jar, err
}

// cookies returns the Cookie header of a step's requests, "" for none.
func (r *httpRun) cookies(s *httpStep) (string, error) {
	jar, err := r.jar(s.user)
	if err != nil {
		return "", err
	}
	if s.cookie != nil {
		return strings.ReplaceAll(*s.cookie, "{name}", cookieName), nil
	}
	var pairs []string
	for _, c := range jar.Cookies(r.url) {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return strings.Join(pairs, "; "), nil
}

// sessionOf returns the session that the user's jar holds a cookie of.
func (r *httpRun) sessionOf(s *httpStep) string {
	for _, c := range r.jars[s.user].Cookies(r.url) {
		if c.Name == cookieName {
			return r.tokens[c.Value]
		}
	}
	return ""
}

func (r *httpRun) send(s *httpStep, cookies string) (*reply, error) {
	req, err := http.NewRequestWithContext(r.ctx, s.method, r.url.String()+s.path, http.NoBody)
	if err != nil {
		return nil, err
	}
	for name, value := range s.headers {
		req.Header.Set(name, value)
	}
	if cookies != "" {
		req.Header.Set("Cookie", cookies)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	a := &reply{status: resp.StatusCode, header: resp.Header, session: resp.Header.Get(sessionHeader)}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		return nil, err
	}
	for _, line := range resp.Header.Values("Set-Cookie") {
		if c, err := http.ParseSetCookie(line); err == nil && c.Name == cookieName {
			a.cookie, a.token = line, c.Value
		}
	}
	return a, nil
}

// take keeps what an answer brought, and reports whether it came from a
// session that no earlier answer belonged to.
func (r *httpRun) take(s *httpStep, a *reply) (fresh bool) {
	if a.session != "" {
		fresh = !r.seen[a.session]
		r.seen[a.session] = true
	}
	if a.token != "" {
		r.tokens[a.token] = a.session
	}
	if s.cookie == nil {
		r.jars[s.user].SetCookies(r.url, (&http.Response{Header: a.header}).Cookies())
	}
	return fresh
}

// each checks what is wanted of every answer, however many there are.
func (w *httpWant) each(a *reply) error {
	var errs []error
	if a.status != w.Status {
		errs = append(errs, fmt.Errorf("the status is %d (%s), want %d", a.status, a.body, w.Status))
	}
	if w.BodyLacks != "" && strings.Contains(string(a.body), w.BodyLacks) {
		errs = append(errs, fmt.Errorf("the body %q has %q", a.body, w.BodyLacks))
	}
	attributes := strings.Split(a.cookie, ";")
	for i := range attributes {
		attributes[i] = strings.TrimSpace(attributes[i])
	}
	for _, attribute := range w.CookieHas {
		if !slices.Contains(attributes[1:], attribute) {
			errs = append(errs, fmt.Errorf("the cookie %q lacks %s", a.cookie, attribute))
		}
	}
	for name, text := range w.Headers {
		if line := strings.Join(a.header.Values(name), ", "); !strings.Contains(line, text) {
			errs = append(errs, fmt.Errorf("the header %s is %q, want %q in it", name, line, text))
		}
	}
	return errors.Join(errs...)
}

// sameBody compares a body with a string, or with JSON.
func sameBody(want json.RawMessage, body []byte) (bool, error) {
	var text string
	if json.Unmarshal(want, &text) == nil {
		return text == string(body), nil
	}
	w, err := canonical(want)
	if err != nil {
		return false, err
	}
	got, err := canonical(body)
	return got == w, err
}
