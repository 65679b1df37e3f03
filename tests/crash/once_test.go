package crash_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/testseed"
	"github.com/stay-go/stay/tests/internal/crashsite"
)

// A clicker sends one action after the other, each with an id and until it is
// answered, through any number of kills.
type clicker struct {
	name    string
	random  *rand.Rand
	cookie  string
	sent    int    // actions
	pending string // the path of the one that has no answer yet; "" = it has
}

var errRefused = errors.New("refused")

// clickPaths lead to a state of the session, to one of all, and to a guest's.
var clickPaths = []string{"/own/add", "/total/add", "/cart/add"}

// click sends actions until one finds no server.
func (c *clicker) click(client *http.Client, url string, sendings *atomic.Int64) error {
	for {
		if c.pending == "" {
			c.sent++
			c.pending = clickPaths[c.random.IntN(len(clickPaths))] + "?by=" + c.name
		}
		for again := c.random.IntN(5) - 3; ; again-- { // now and then it sends what was answered again
			sendings.Add(1)
			if err := c.send(client, url); err != nil {
				return err
			}
			if again <= 0 {
				break
			}
		}
		c.pending = ""
	}
}

func (c *clicker) send(client *http.Client, url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+c.pending, http.NoBody)
	if err != nil {
		return err
	}
	r.Header.Set("Idempotency-Key", fmt.Sprintf("%q", fmt.Sprint(c.name, " ", c.sent)))
	r.Header.Set("Cookie", "stay="+c.cookie)
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNoContent {
		return fmt.Errorf("%w: %s: status %d", errRefused, c.pending, res.StatusCode)
	}
	return nil
}

// Actions that are sent until they are answered, by clients of a server that is
// killed again and again, are counted once each.
//
// Proves L28, L30.
func TestSoakKill9CountsEachActionOnce(t *testing.T) {
	kills := 12
	if soak() {
		kills = 250
	}
	seed := testseed.New(t)
	db := filepath.Join(t.TempDir(), "app.db")
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	r := &run{client: client}
	clickers := make([]*clicker, 8)
	for i := range clickers {
		clickers[i] = &clicker{name: fmt.Sprint("c", i), random: draws(seed, i)}
	}
	var sendings atomic.Int64
	random := draws(seed, len(clickers))
	sum := func(url string, c *clicker) int {
		r.url = url
		b := &browser{name: c.name, run: r}
		all, _, err := b.ask(1, c.cookie, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, count := range []crashsite.Count{all.Own, all.Total, all.Cart} {
			if !count.Whole {
				t.Errorf("%s: torn: %+v", c.name, all)
			}
		}
		return all.Own.N + all.Total.N + all.Cart.N
	}
	for kill := range kills {
		p := start(t, nil, db)
		if kill == 0 {
			for _, c := range clickers { // each gets its cookie
				r.url = p.url
				_, a, err := (&browser{name: c.name, run: r}).ask(1, "", "")
				if err != nil {
					t.Fatal(err)
				}
				c.cookie = a.cookie
			}
		}
		var all sync.WaitGroup
		for _, c := range clickers {
			all.Go(func() {
				if err := c.click(client, p.url, &sendings); errors.Is(err, errRefused) {
					t.Errorf("%s: %v", c.name, err)
				}
			})
		}
		<-time.After(time.Duration(random.IntN(200)) * time.Millisecond)
		p.kill(t)
		all.Wait()
	}
	// What has no answer yet is sent once more.
	p := start(t, nil, db)
	actions := 0
	for _, c := range clickers {
		if c.pending != "" {
			if err := c.send(client, p.url); err != nil {
				t.Fatal(err)
			}
		}
		actions += c.sent
		if got := sum(p.url, c); got != c.sent {
			t.Errorf("%s: %d actions count as %d", c.name, c.sent, got)
		}
	}
	p.stop(t)
	t.Logf("%d kills, %d actions, sent %d times", kills, actions, sendings.Load())
}
