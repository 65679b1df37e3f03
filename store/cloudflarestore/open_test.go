package cloudflarestore_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store"
	"github.com/stay-go/stay/store/cloudflarestore"
)

// TestSecrets proves that only those who know the secret are answered, that a
// second one is accepted while it is changed, and that nothing shows one.
func TestSecrets(t *testing.T) {
	t.Parallel()
	const next = "the-next-secret-of-the-tests"
	both := deployed()
	both.Texts = map[string]string{"STAY_SECRET": next, "STAY_SECRET_OLD": secret}
	server := ownServer(t, both)
	before := open(t, server)
	after, err := cloudflarestore.Open(storekit.Within(t), server.URL(), next)
	if err != nil {
		t.Fatal(err)
	}
	defer after.Close()
	rev := storekit.Put(t, before, "key", 0, "x")
	if rec := storekit.Load(t, after, "key"); rec.Revision != rev {
		t.Errorf("revision %d, want %d", rec.Revision, rev)
	}
	for _, wrong := range []string{secret + "x", secret[:len(secret)-1], strings.ToUpper(secret), strings.Repeat("x", 1000)} {
		_, err := cloudflarestore.Open(storekit.Within(t), server.URL(), wrong)
		wantText(t, err, "does not know the secret")
		if errors.Is(err, store.ErrUnavailable) {
			t.Error("it looks as if a wrong secret could become right")
		}
		if strings.Contains(err.Error(), wrong) {
			t.Errorf("the error shows the secret: %v", err)
		}
	}

	server.Stop()
	changed := deployed()
	changed.Texts = map[string]string{"STAY_SECRET": next}
	if err := server.Start(changed); err != nil {
		t.Fatal(err)
	}
	storekit.Load(t, after, "key")
	_, err = before.Load(storekit.Within(t), []store.Read{{Key: "key"}})
	wantText(t, err, "does not know the secret")
	want(t, storekit.One(before, store.Write{Key: "key", Base: rev}), store.Rejected)
	if log := server.Log().String(); strings.Contains(log, secret) || strings.Contains(log, next) {
		t.Error("the log shows a secret")
	}
}

// TestAWorkerWithoutASecretRefuses proves that a Worker whose secret was forgotten,
// or could be guessed, answers nobody.
func TestAWorkerWithoutASecretRefuses(t *testing.T) {
	t.Parallel()
	server := ownServer(t, deployed())
	for _, texts := range []map[string]string{{}, {"STAY_SECRET": "short"}, {"STAY_SECRET": ""}, {"STAY_SECRET_OLD": secret}} {
		server.Stop()
		w := deployed()
		w.Texts = texts
		if err := server.Start(w); err != nil {
			t.Fatal(err)
		}
		_, err := cloudflarestore.Open(storekit.Within(t), server.URL(), secret)
		wantText(t, err, "has no STAY_SECRET")
	}
}

// TestOpenRefuses proves that mistakes are told when the store is opened.
func TestOpenRefuses(t *testing.T) {
	url := theServer(t).URL()
	for name, test := range map[string]struct {
		url, secret string
		options     []cloudflarestore.Option
		says        string
	}{
		"no URL":         {"", secret, nil, "is not one of a Worker"},
		"no host":        {"https://", secret, nil, "is not one of a Worker"},
		"a user":         {"https://user:" + secret + "@example.com", secret, nil, "is not one of a Worker"},
		"a query":        {"https://example.com/?secret=" + secret, secret, nil, "is not one of a Worker"},
		"another scheme": {"redis://example.com", secret, nil, "is not one of a Worker"},
		"plain text":     {"http://example.com", secret, nil, "use https"},
		"plain address":  {"http://192.0.2.1", secret, nil, "use https"},
		"short secret":   {url, "short", nil, "16 or more"},
		"line end":       {url, secret + "\n", nil, "spaces"},
		"no shards":      {url, secret, []cloudflarestore.Option{cloudflarestore.Shards(-1)}, "Shards(-1)"},
		"many shards":    {url, secret, []cloudflarestore.Option{cloudflarestore.Shards(1025)}, "Shards(1025)"},
		"no time":        {url, secret, []cloudflarestore.Option{cloudflarestore.Attempt(0)}, "Attempt(0s)"},
		"no name":        {url, secret, []cloudflarestore.Option{cloudflarestore.Name("")}, "Name"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := cloudflarestore.Open(storekit.Within(t), test.url, test.secret, test.options...)
			wantText(t, err, test.says)
		})
	}
}

// TestLayoutIsKept proves that a store is not opened with another number of objects,
// which would look empty, and that stores with other names are others.
func TestLayoutIsKept(t *testing.T) {
	name := place()
	rev := storekit.Put(t, open(t, theServer(t), name, cloudflarestore.Shards(8)), "key", 0, "x")
	for _, other := range []cloudflarestore.Option{cloudflarestore.Shards(4), cloudflarestore.ObjectPerHome()} {
		_, err := cloudflarestore.Open(storekit.Within(t), theServer(t).URL(), secret, name, other)
		wantText(t, err, `divided as "shards: 8"`)
	}
	if rec := storekit.Load(t, open(t, theServer(t), name, cloudflarestore.Shards(8)), "key"); rec.Revision != rev {
		t.Errorf("revision %d, want %d", rec.Revision, rev)
	}
	if rec := storekit.Load(t, open(t, theServer(t), place()), "key"); rec.Revision != 0 {
		t.Error("another store has the record")
	}
}

// TestOtherServers proves that what is not a Worker of this version is not believed,
// and gets nothing.
func TestOtherServers(t *testing.T) {
	t.Parallel()
	t.Run("another format", func(t *testing.T) {
		w := deployed()
		w.Modules["main.js"] = strings.Replace(w.Modules["main.js"], "const format = 1", "const format = 2", 1)
		_, err := cloudflarestore.Open(storekit.Within(t), ownServer(t, w).URL(), secret)
		wantText(t, err, "deploy the worker.js of its version")
	})
	var mu sync.Mutex
	var told bool
	thief := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		told = true
	}))
	defer thief.Close()
	for name, handler := range map[string]http.HandlerFunc{
		"a page":        func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"no page":       http.NotFound,
		"a redirection": http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect).ServeHTTP,
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			_, err := cloudflarestore.Open(storekit.Within(t), server.URL, secret, cloudflarestore.Attempt(50*time.Millisecond))
			if !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%v, want ErrUnavailable", err)
			}
			wantText(t, err, "not one of the Worker")
		})
	}
	mu.Lock()
	defer mu.Unlock()
	if told {
		t.Error("a redirection was followed")
	}
}

// TestWorkerRefusesRequests sends the Worker what the package does not send.
func TestWorkerRefusesRequests(t *testing.T) {
	server := theServer(t)
	ask := func(method, body string, header map[string]string) int {
		req, err := http.NewRequestWithContext(storekit.Within(t), method, server.URL(), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+secret)
		req.Header.Set("Stay-Format", "1")
		for name, value := range header {
			req.Header.Set(name, value)
		}
		if header["Length"] != "" {
			req.ContentLength = -1 // in chunks, so that nobody knows how long it is
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	for _, test := range []struct {
		name, method, body string
		header             map[string]string
		status             int
	}{
		{"no secret", "POST", `{"method": "load", "calls": []}`, map[string]string{"Authorization": ""}, 401},
		{"another scheme", "POST", `{"method": "load", "calls": []}`, map[string]string{"Authorization": "Basic " + secret}, 401},
		{"another format", "POST", `{"method": "load", "calls": []}`, map[string]string{"Stay-Format": "2"}, 400},
		{"another method", "GET", "", nil, 405},
		{"no length", "POST", `{"method": "load", "calls": []}`, map[string]string{"Length": "none"}, 413},
		{"no JSON", "POST", `{`, nil, 400},
		{"no calls", "POST", `{"method": "load"}`, nil, 400},
		{"a method of all objects", "POST", `{"method": "constructor", "calls": [{"object": "x"}]}`, nil, 400},
		{"a method that is inside", "POST", `{"method": "rows", "calls": [{"object": "x"}]}`, nil, 400},
		{"nothing", "POST", `{"method": "load", "calls": []}`, nil, 200},
	} {
		if status := ask(test.method, test.body, test.header); status != test.status {
			t.Errorf("%s: %d, want %d", test.name, status, test.status)
		}
	}
}

// TestTwoApps proves that changes by two programs that share objects do not get lost,
// with one object for all and with an object for each home.
//
// Proves A17, C1, C2.
func TestTwoApps(t *testing.T) {
	t.Run("one object", func(t *testing.T) {
		name := place()
		at := func() store.Store { return open(t, theServer(t), name, cloudflarestore.Shards(1)) }
		storekit.Apps(t, nil, at(), at())
	})
	t.Run("an object per home", func(t *testing.T) {
		name := place()
		at := func() store.Store { return over(t, open(t, theServer(t), name, cloudflarestore.ObjectPerHome())) }
		storekit.Apps(t, nil, at(), at())
	})
}
