package system_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/sqlitestore"
)

// A cookie that the server did not issue as it stands is no cookie: the request
// gets 200 and a new session, and nothing is stored for it.
//
// Proves B3, W1.
func TestCookiesNotIssuedAreNoCookies(t *testing.T) {
	now := newClock()
	db := openSQLite(t, tempDB(t))
	x := serve(t, db, &stay.Options{Clock: now.now})

	other := serve(t, openSQLite(t, tempDB(t)), &stay.Options{Clock: now.now}).browser()
	other.want("POST", "/click", 200, "1")
	good := x.browser()
	good.want("POST", "/click", 200, "1")
	raw, err := base64.RawURLEncoding.DecodeString(good.cookie)
	if err != nil {
		t.Fatal(err)
	}
	const signature = 16
	unsigned := len(raw) - signature
	altered := func(i int) string {
		b := append([]byte(nil), raw...)
		b[i] ^= 1
		return base64.RawURLEncoding.EncodeToString(b)
	}
	before := rows(t, db, now.now())

	cases := map[string]string{
		"unsigned":           "stay=" + base64.RawURLEncoding.EncodeToString(raw[:unsigned]),
		"signature of zeros": "stay=" + base64.RawURLEncoding.EncodeToString(append(raw[:unsigned:unsigned], make([]byte, signature)...)),
		"half the signature": "stay=" + base64.RawURLEncoding.EncodeToString(raw[:len(raw)-signature/2]),
		"truncated":          "stay=" + good.cookie[:len(good.cookie)-1],
		"cut in half":        "stay=" + good.cookie[:len(good.cookie)/2],
		"longer":             "stay=" + good.cookie + "A",
		"of another key":     "stay=" + other.cookie,
		"empty":              "stay=",
		"without a value":    "stay",
		"__proto__":          "stay=__proto__",
		"constructor":        "stay=constructor",
		"the session's ID":   "stay=" + good.id(),
		"8 KB":               "stay=" + strings.Repeat("A", 8<<10),
		"8 KB of a good one": "stay=" + good.cookie + strings.Repeat("A", 8<<10),
		"not base64":         "stay=%00%ff\"'<script>",
		"padded":             "stay=" + good.cookie + "==",
		"another name":       "__Host-stay=" + good.cookie,
	}
	for i := range raw {
		cases["altered at "+strconv.Itoa(i)] = "stay=" + altered(i)
	}
	for name, cookie := range cases {
		for _, path := range []string{"/", "/id"} {
			a := raws(t, x, path, cookie)
			if a.status != 200 || path == "/" && (a.body != "0" || len(a.set) != 1) || a.body == good.id() {
				t.Errorf("%s: GET %s: %v, want 200 and a new session", name, path, a)
			}
			for _, c := range a.set {
				if c.Value == good.cookie {
					t.Errorf("%s: the good cookie came back", name)
				}
			}
		}
	}
	if after := rows(t, db, now.now()); len(after) != len(before) {
		t.Errorf("%d records before, %d after", len(before), len(after))
	}
	good.want("GET", "/", 200, "1")

	// Of several the one that is valid counts, also if it comes twice; of the valid
	// ones of several sessions none does, and none is set.
	if a := raws(t, x, "/", "stay="+other.cookie+"; stay="+good.cookie); a.status != 200 || a.body != "1" || len(a.set) != 0 {
		t.Errorf("beside a cookie of another: %v, want the good one's session", a)
	}
	if a := raws(t, x, "/", "stay="+good.cookie+"; stay="+good.cookie); a.status != 200 || a.body != "1" || len(a.set) != 0 {
		t.Errorf("twice: %v, want its session", a)
	}
	guest := x.browser()
	guest.want("GET", "/", 200, "0")
	if a := raws(t, x, "/", "stay="+good.cookie+"; stay="+guest.cookie); a.status != 200 || a.body != "0" || len(a.set) != 0 {
		t.Errorf("of two sessions: %v, want no session", a)
	}

	// Expired: good for as long as it says, and no longer.
	now.advance(24 * time.Hour)
	if a := raws(t, x, "/", "stay="+good.cookie); a.status != 200 || a.body != "0" || len(a.set) != 1 {
		t.Errorf("expired: %v, want 200 and a new session", a)
	}
	if after := rows(t, db, time.Time{}); len(after) != len(before) {
		t.Errorf("%d records before, %d after an expired cookie", len(before), len(after))
	}
}

// raws makes a GET with this Cookie header.
func raws(t *testing.T, x *site, path, cookie string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", x.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Cookie", cookie)
	res, err := x.server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body := make([]byte, 1<<10)
	n, _ := res.Body.Read(body)
	a := answer{status: res.StatusCode, body: string(body[:n]), header: res.Header}
	for _, c := range res.Cookies() {
		if c.Name == "stay" {
			a.set = append(a.set, c)
		}
	}
	return a
}

// Requests without a cookie that change nothing leave nothing: no record, and
// no memory once the garbage has gone. The server is a process of its own, so
// that what it keeps can be told from what the test keeps.
//
// Proves B1.
func TestCookielessReadsKeepNothing(t *testing.T) {
	const requests, batch = 40_000, 200
	p := buildServer(t)
	p.start()
	heap := func() int {
		t.Helper()
		n, err := number(p.browser("").do("GET", "/heap").body)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	c, err := dial(p.url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	hit := func(n int) {
		t.Helper()
		for ; n > 0; n -= batch {
			for range batch {
				c.ask("GET", "/", "")
			}
			if err := c.flush(); err != nil {
				t.Fatal(err)
			}
			for range batch {
				if a, err := c.read(); err != nil || a.status != 200 || a.body != "0" || a.cookie == "" {
					t.Fatalf("GET /: %+v, %v", a, err)
				}
			}
		}
	}
	hit(2_000)
	before := heap()
	hit(requests)
	grown := heap() - before
	t.Logf("the heap grew by %d bytes", grown)
	if grown > 256<<10 {
		t.Errorf("the heap grew by %d bytes in %d requests", grown, requests)
	}
	p.kill()

	db, err := sqlitestore.Open(p.db)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if got := rows(t, db, time.Now()); len(got) > 1 { // the key that signs cookies
		t.Errorf("%d records are stored: %.200q", len(got), got)
	}
}
