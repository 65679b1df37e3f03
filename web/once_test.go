package web_test

import (
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// still returns a client with its own cookies that follows no redirect.
func still(t testing.TB, h http.Handler) *http.Client {
	t.Helper()
	c := browser(h)
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	send(t, c, "GET", "/view", "") // gets its cookie
	return c
}

// first checks an answer to a request that has changed the state, again one to a
// request that was sent before.
func first(t *testing.T, a answer, status int, body string) {
	t.Helper()
	a.want(t, status, body)
	if got := a.header["Idempotency-Replayed"]; got != nil {
		t.Errorf("the first answer says %q", got)
	}
}

func again(t *testing.T, a answer, status int, body string) {
	t.Helper()
	a.want(t, status, body)
	if got := a.header["Idempotency-Replayed"]; len(got) != 1 || got[0] != "true" {
		t.Errorf("the answer says %q", got)
	}
}

const key = "Idempotency-Key"

// Do, Actions, and a handler that changes state itself, answer what is sent again
// with the state as it is now, and say so.
//
// Proves L29.
func TestHandlersAnswerWhatWasMadeWithTheStateAsItIs(t *testing.T) {
	s := newSite(t)
	c := still(t, s.routes(nil))
	first(t, send(t, c, "POST", "/increment", "", key, "a"), 200, "1")
	first(t, send(t, c, "POST", "/state/counter/increment", "", key, `"b"`), 200, `{"count":2,"label":"clicks"}`)
	again(t, send(t, c, "POST", "/increment", "", key, `"a"`), 200, "2")
	again(t, send(t, c, "POST", "/state/counter/increment", "", key, "b"), 200, `{"count":2,"label":"clicks"}`)
	first(t, send(t, c, "POST", "/reset", "", key, "c"), 200, "0")
	first(t, send(t, c, "POST", "/increment", ""), 200, "1")
	again(t, send(t, c, "POST", "/reset", "", key, "c"), 200, "1")
	send(t, c, "POST", "/increment", "", key, "a").want(t, 200, "1")
	first(t, send(t, c, "GET", "/view", "", key, "a"), 200, "1")
}

// Update has nothing to render for what is sent again: a form goes to the page
// that it is on, htmx loads its page again, and a script gets 204.
//
// Proves L29.
func TestUpdateAnswersWhatWasMadeByWhoAsks(t *testing.T) {
	s := newSite(t)
	c := still(t, s.routes(nil))
	first(t, send(t, c, "POST", "/update", "", key, "a"), 200, "1")
	for name, ask := range map[string]struct {
		header   []string
		status   int
		location string
		refresh  string
	}{
		"a form":                              {[]string{"Sec-Fetch-Mode", "navigate", "Referer", "http://app.test/page?x=1"}, 303, "/page?x=1", ""},
		"a form on http":                      {[]string{"Accept", "text/html,*/*", "Referer", "http://app.test/"}, 303, "/", ""},
		"a form that hides its page":          {[]string{"Sec-Fetch-Mode", "navigate"}, 204, "", ""},
		"a form of another site":              {[]string{"Sec-Fetch-Mode", "navigate", "Referer", "http://evil.test/page"}, 204, "", ""},
		"a page that looks like another site": {[]string{"Sec-Fetch-Mode", "navigate", "Referer", "http://app.test//evil.test"}, 204, "", ""},
		"a form on the answer to a form":      {[]string{"Sec-Fetch-Mode", "navigate", "Referer", "http://app.test/add?_stay_once=x"}, 204, "", ""},
		"htmx":                                {[]string{"HX-Request", "true", "Sec-Fetch-Mode", "cors"}, 204, "", "true"},
		"boosted":                             {[]string{"HX-Request", "true", "HX-Boosted", "true"}, 204, "", "true"},
		"Datastar":                            {[]string{"Datastar-Request", "true", "Accept", "text/event-stream, text/html"}, 204, "", ""},
		"fetch":                               {[]string{"Sec-Fetch-Mode", "cors", "Accept", "*/*", "Referer", "http://app.test/page"}, 204, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := send(t, c, "POST", "/update", "", append(ask.header, key, "a")...)
			again(t, a, ask.status, "")
			if got := a.header.Get("Location"); got != ask.location {
				t.Errorf("goes to %q, want %q", got, ask.location)
			}
			if got := a.header.Get("HX-Refresh"); got != ask.refresh {
				t.Errorf("HX-Refresh is %q", got)
			}
		})
	}
	send(t, c, "GET", "/view", "").want(t, 200, "1")
}

// The id of a form is in its address, where every handler sees it before it reads
// the body; it is drawn anew each time.
//
// Proves L33.
func TestTheIDOfAFormIsInItsAddress(t *testing.T) {
	for path, want := range map[string]string{
		"/add": "/add?_stay_once=", "/add?a=b": "/add?a=b&_stay_once=", "": "?_stay_once=",
	} {
		got := web.Once(path)
		id, ok := strings.CutPrefix(got, want)
		if !ok || len(id) < 26 || id != url.QueryEscape(id) || got == web.Once(path) {
			t.Errorf("%q becomes %q", path, got)
		}
	}
	if got := web.Once("/add#top"); !strings.HasPrefix(got, "/add?_stay_once=") || !strings.HasSuffix(got, "#top") {
		t.Errorf("the fragment is lost: %q", got)
	}

	s := newSite(t)
	mux := http.NewServeMux()
	mux.Handle("POST /early", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		c, err := s.counter.Update(r.Context(), func(c *Counter) error {
			c.Count++
			return nil
		})
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(w, c.Count, r.FormValue("text"))
		return err
	}))
	mux.Handle("/", s.routes(nil))
	c := still(t, web.Sessions(s.app, nil)(mux))
	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	early, increment := web.Once("/early"), web.Once("/increment")
	first(t, send(t, c, "POST", early, "text=hello", form...), 200, "1hello")
	again(t, send(t, c, "POST", early, "text=hello", form...), 200, "1hello")
	first(t, send(t, c, "POST", web.Once("/early"), "text=hello", form...), 200, "2hello")
	first(t, send(t, c, "POST", increment, "", form...), 200, "3")
	again(t, send(t, c, "POST", increment, "", form...), 200, "3")
	first(t, send(t, c, "POST", increment, "", append(form, key, "header")...), 200, "4")
}

// An id is of no use to others: the same of another session is another change.
//
// Proves L27, L33.
func TestAnIDIsOfOneSession(t *testing.T) {
	s := newSite(t)
	h := s.routes(nil)
	a, b := still(t, h), still(t, h)
	path := web.Once("/increment")
	first(t, send(t, a, "POST", path, ""), 200, "1")
	first(t, send(t, b, "POST", path, ""), 200, "1")
	again(t, send(t, a, "POST", path, ""), 200, "1")
}

// What has the id of an earlier change and another body, address or method is
// refused, whoever reads the body.
//
// Proves L29.
func TestAnotherContentWithTheSameIDIsRefused(t *testing.T) {
	s := newSite(t)
	mux := http.NewServeMux()
	mux.Handle("/", s.routes(nil))
	mux.HandleFunc("/plain/add", func(w http.ResponseWriter, r *http.Request) {
		c, err := s.counter.Update(r.Context(), func(c *Counter) error {
			c.Count++
			return nil
		})
		if err != nil {
			web.Error(w, r, err)
			return
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, c.Count, string(body))
	})
	c := still(t, web.Sessions(s.app, nil)(mux))
	json := []string{"Content-Type", "application/json", "Accept", "application/json", key}
	refused := func(a answer) {
		t.Helper()
		if a.status != 422 || !strings.Contains(a.body, `"reused"`) || a.header["Idempotency-Replayed"] != nil {
			t.Errorf("got %d %v %s", a.status, a.header, a.body)
		}
	}
	first(t, send(t, c, "POST", "/add", `{"by":2}`, append(json, "a")...), 200, "2")
	refused(send(t, c, "POST", "/add", `{"by":3}`, append(json, "a")...))
	refused(send(t, c, "PUT", "/add", `{"by":2}`, append(json, "a")...))
	refused(send(t, c, "POST", "/add?x", `{"by":2}`, append(json, "a")...))
	again(t, send(t, c, "POST", "/add", `{"by":2}`, append(json, "a")...), 200, "2")
	first(t, send(t, c, "POST", "/plain/add", "x", append(json, "b")...), 200, "3x")
	refused(send(t, c, "POST", "/plain/add", "y", append(json, "b")...))
	again(t, send(t, c, "POST", "/plain/add", "x", append(json, "b")...), 200, "3x")
}

// The boundary of a form with parts is drawn for each sending, and no content.
//
// Proves L29.
func TestTheBoundaryOfAFormIsNoContent(t *testing.T) {
	s := newSite(t)
	c := still(t, s.routes(nil))
	form := func(by string) (body, contentType string) {
		var b strings.Builder
		w := multipart.NewWriter(&b)
		if err := w.WriteField("by", by); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String(), w.FormDataContentType()
	}
	path := web.Once("/add")
	try := func(by string) answer {
		body, contentType := form(by)
		return send(t, c, "POST", path, body, "Content-Type", contentType)
	}
	first(t, try("2"), 200, "2")
	again(t, try("2"), 200, "2")
	if a := try("3"); a.status != 422 {
		t.Errorf("another content: %d %s", a.status, a.body)
	}
}

// A body that is not read beforehand, because it is long or its length is not
// announced, is not compared, and reaches the handler as it is.
//
// Proves L29.
func TestABodyOfUnknownLengthIsNotCompared(t *testing.T) {
	s := newSite(t)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /upload", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = s.increment(r.Context())
		}
		if err != nil {
			web.Error(w, r, err)
			return
		}
		fmt.Fprint(w, len(body), s.count(r.Context(), t))
	})
	mux.Handle("/", s.routes(nil))
	o := &web.Options{MaxBody: 100}
	c := still(t, web.Sessions(s.app, o)(mux))
	long := strings.Repeat("x", 1000)
	first(t, send(t, c, "POST", "/upload", long, key, "a"), 200, "1000 1")
	again(t, send(t, c, "POST", "/upload", long+"y", key, "a"), 200, "1001 1")
	chunked := func(body string) answer {
		r, err := http.NewRequest("POST", "http://app.test/upload", io.NopCloser(strings.NewReader(body)))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = -1
		r.Header.Set(key, "b")
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer{res.StatusCode, res.Header, string(b)}
	}
	first(t, chunked("x"), 200, "1 2")
	again(t, chunked("xy"), 200, "2 2")
}

// A header or an address whose id cannot be one is the client's mistake, and
// nothing runs.
//
// Proves L33.
func TestAMalformedIDIsRefused(t *testing.T) {
	s := newSite(t)
	c := still(t, s.routes(nil))
	long := strings.Repeat("k", 256)
	for _, header := range [][]string{
		{key, ""},
		{key, `""`},
		{key, `"a`},
		{key, `a"`},
		{key, `"a" "b"`},
		{key, `"a";p`},
		{key, "a b"},
		{key, "a,b"},
		{key, `"\x"`},
		{key, long},
		{key, `"` + long + `"`},
		{key, "ü"},
		{key, "a", key, "a"},
	} {
		if a := send(t, c, "POST", "/increment", "", header...); a.status != 400 {
			t.Errorf("%q: %d %s", header, a.status, a.body)
		}
	}
	for _, query := range []string{"_stay_once=", "_stay_once=" + long, "_stay_once=a&_stay_once=b"} {
		if a := send(t, c, "POST", "/increment?"+query, ""); a.status != 400 {
			t.Errorf("%q: %d %s", query, a.status, a.body)
		}
	}
	send(t, c, "GET", "/view?_stay_once=", "", key, "a b").want(t, 200, "0")
	first(t, send(t, c, "POST", "/increment?my_stay_once=", ""), 200, "1")
	first(t, send(t, c, "POST", "/increment", "", key, `"a \"b\" \\"`), 200, "2")
}

// What fails is not remembered: the same id may be sent again.
//
// Proves L30.
func TestWhatFailedMayBeSentAgain(t *testing.T) {
	s := newSite(t)
	failing := true
	c := still(t, s.update(nil, func(w http.ResponseWriter, _ *http.Request, c *Counter) error {
		c.Count++
		if failing {
			return stay.Invalid("", "not yet")
		}
		_, err := fmt.Fprint(w, c.Count)
		return err
	}))
	send(t, c, "POST", "/try/x", "", key, "a").want(t, 422, "not yet\n")
	failing = false
	first(t, send(t, c, "POST", "/try/x", "", key, "a"), 200, "1")
	s.conflict(t, 1)
	first(t, send(t, c, "POST", "/try/x", "", key, "b"), 200, "2")
}

// Outside of Sessions the handlers know ids, too.
//
// Proves L29.
func TestHandlersOutsideOfSessionsKnowIDs(t *testing.T) {
	s := newSite(t)
	global := stay.Register(s.app, stay.Module[Counter]{Name: "global", Persist: stay.Global, Actions: counterModule.Actions})
	show := func(w http.ResponseWriter, _ *http.Request, c *Counter) error {
		_, err := fmt.Fprint(w, c.Count)
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/do", web.Do(global, "increment", show))
	mux.Handle("/update", web.Update(global, func(w http.ResponseWriter, r *http.Request, c *Counter) error {
		c.Count++
		return show(w, r, c)
	}))
	mux.Handle("/handle", web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		c, err := global.Do(r.Context(), "increment", nil)
		if err != nil {
			return err
		}
		return show(w, r, c)
	}))
	mux.Handle("/state/", web.Actions(global))
	c := browser(mux)
	first(t, send(t, c, "POST", "/do", "", key, "a"), 200, "1")
	again(t, send(t, c, "POST", "/do", "", key, "a"), 200, "1")
	first(t, send(t, c, "POST", "/update", "x", key, "b"), 200, "2")
	again(t, send(t, c, "POST", "/update", "x", key, "b"), 204, "")
	first(t, send(t, c, "POST", "/handle", "", key, "c"), 200, "3")
	again(t, send(t, c, "POST", "/handle", "", key, "c"), 200, "3")
	first(t, send(t, c, "POST", "/state/global/increment", "", key, "d"), 200, `{"count":4,"label":""}`)
	again(t, send(t, c, "POST", "/state/global/increment", "", key, "d"), 200, `{"count":4,"label":""}`)
	send(t, c, "POST", "/do", "", key, "a b").want(t, 400, "the header Idempotency-Key is malformed: send one text of 1 to 255 characters\n")
}

// A visit knows the id of its request, and says in its header what was made
// before.
//
// Proves L29.
func TestVisitsKnowIDs(t *testing.T) {
	s := newSite(t)
	begin := web.Visits(s.app, nil)
	c := &caller{t: t, begin: func(r *http.Request) (*web.Visit, error) {
		r.Header[key] = []string{"a"}
		return begin(r)
	}}
	for i := range 2 {
		header := c.call(func(ctx context.Context, _ *web.Visit) {
			if err := s.increment(ctx); err != nil {
				t.Error(err)
			}
			if got := s.count(ctx, t); got != 1 {
				t.Errorf("the count is %d", got)
			}
		})
		if got := header.Get("Idempotency-Replayed") == "true"; got != (i > 0) {
			t.Errorf("request %d: header %v", i, header)
		}
	}
	if _, err := begin(&http.Request{Method: "POST", Host: "app.test", Header: http.Header{key: {"a b"}}}); stay.CodeOf(err) != stay.ErrMalformed {
		t.Errorf("a malformed id: %v", err)
	}
}

// The id of a form that is sent with DELETE is none of its values.
//
// Proves L33.
func TestTheIDIsNoneOfTheValuesOfAnAddress(t *testing.T) {
	s := newSite(t)
	c := still(t, s.routes(nil))
	first(t, send(t, c, "DELETE", web.Once("/add?by=3"), ""), 200, "3")
	if log := s.log.String(); strings.Contains(log, "_stay_once") {
		t.Errorf("the log has the id: %s", log)
	}
}

// Every header is an id or the client's mistake, and an id is one that is sent
// again as it is.
//
// Proves L33.
func FuzzIdempotencyKey(f *testing.F) {
	for _, seed := range []string{"a", `"a"`, `"\\\""`, `"`, "", "a;b", "8e03978e-40d5-43dd-bc93-6894a57f9324"} {
		f.Add(seed)
	}
	s := newSite(f)
	h := s.routes(nil)
	f.Fuzz(func(t *testing.T, value string) {
		c := still(t, h)
		one := send(t, c, "POST", "/increment", "", key, value)
		two := send(t, c, "POST", "/increment", "", key, value)
		switch {
		case one.status == 400 && two.status == 400:
		case one.status == 200 && two.status == 200:
			again(t, two, 200, one.body)
		default:
			t.Errorf("%q: %d and %d", value, one.status, two.status)
		}
	})
}
