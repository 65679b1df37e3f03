package staytest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/staytest"
	"github.com/stay-go/stay/web"
)

type Counter struct {
	Count int    `json:"count"`
	Label string `json:"label" stay:"preserve"`
}

var CounterModule = stay.Module[Counter]{
	Name:    "counter",
	Persist: stay.PerSession,
	Actions: stay.Actions[Counter]{
		"add": stay.WithPayload(func(_ *stay.Call, c *Counter, in Add) error {
			c.Count += in.By
			return nil
		}),
	},
}

type Add struct {
	By int `json:"by"`
}

func (in Add) Validate() error {
	if in.By < 1 {
		return stay.Invalid("by", "must be at least 1")
	}
	return nil
}

// newHandler is the program: main runs it with an App on SQLite.
func newHandler(app *stay.App) http.Handler {
	counter := stay.Register(app, CounterModule)
	show := func(w http.ResponseWriter, _ *http.Request, c *Counter) error {
		_, err := fmt.Fprintf(w, `<output>%d</output>`, c.Count)
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", web.View(counter, show))
	mux.Handle("POST /add", web.Do(counter, "add", show))
	return web.Sessions(app, nil)(mux)
}

// Proves B4.
func TestEachBrowserCountsForItself(t *testing.T) {
	app := staytest.App(t, nil)
	counter := stay.Register(app, CounterModule)
	ann, ben := staytest.Session(t, app), staytest.Session(t, app)

	for range 3 {
		if _, err := counter.Do(ann, "add", Add{By: 2}); err != nil {
			t.Fatal(err)
		}
	}
	staytest.Want(t, ann, counter, Counter{Count: 6})
	staytest.Want(t, ben, counter, Counter{})

	if _, err := counter.Do(ben, "add", Add{By: -1}); stay.CodeOf(err) != stay.ErrInvalid {
		t.Errorf("adding -1: %v", err)
	}
}

func TestHandler(t *testing.T) {
	handler := newHandler(staytest.App(t, nil))
	ann, address := staytest.Browser(t, handler)
	post(t, ann, address+"/add", url.Values{"by": {"2"}}, `<output>2</output>`)
	post(t, ann, address+"/add", url.Values{"by": {"3"}}, `<output>5</output>`)

	ben, address := staytest.Browser(t, handler)
	post(t, ben, address+"/add", url.Values{"by": {"1"}}, `<output>1</output>`)
}

// post sends a form, which must be answered with 200 and the text.
func post(t *testing.T, client *http.Client, address string, form url.Values, want string) {
	t.Helper()
	resp, err := client.PostForm(address, form)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || string(body) != want {
		t.Errorf("%s: %d %s %v, want %s", address, resp.StatusCode, body, err, want)
	}
}

// Proves S6.
func TestSessionEndsWhenItIsNotUsed(t *testing.T) {
	clock := staytest.NewClock()
	app := staytest.App(t, &stay.Options{Clock: clock.Now, IdleTimeout: time.Hour})
	counter := stay.Register(app, CounterModule)
	ctx := staytest.Session(t, app)
	if _, err := counter.Do(ctx, "add", Add{By: 1}); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		clock.Advance(50 * time.Minute)
		staytest.Want(t, ctx, counter, Counter{Count: 1})
	}
	clock.Advance(61 * time.Minute)
	staytest.Want(t, ctx, counter, Counter{}) // a new session
}

// In a bubble of testing/synctest nothing has to be made for time: it passes
// as soon as everybody waits.
func TestBusyState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := staytest.App(t, &stay.Options{MaxWait: time.Minute})
		counter := stay.Register(app, CounterModule)
		ctx := staytest.Session(t, app)
		if _, err := counter.Do(ctx, "add", Add{By: 1}); err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := counter.Update(ctx, func(c *Counter) error {
				<-release
				c.Count++
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
		synctest.Wait() // until the first has its turn

		began := time.Now()
		_, err := counter.Do(ctx, "add", Add{By: 1})
		if stay.CodeOf(err) != stay.ErrBusy || time.Since(began) != time.Minute {
			t.Errorf("%v after %v, want ErrBusy after MaxWait", err, time.Since(began))
		}
		close(release)
		wg.Wait()
		staytest.Want(t, ctx, counter, Counter{Count: 2})
	})
}

// A failure names what differs by its path in JSON.
func ExampleWant() {
	t := newPrinter() // in a test, the *testing.T
	defer t.end()
	app := staytest.App(t, nil)
	cart := stay.Register(app, CartModule)
	if _, err := cart.Update(t.Context(), func(c *Cart) error {
		c.Items = []Item{{"apple", 1}, {"pear", 2}}
		return nil
	}); err != nil {
		t.Fatal(err)
	}

	staytest.Want(t, t.Context(), cart, Cart{
		Items:    []Item{{"apple", 3}},
		Currency: "EUR",
	})
	// Output:
	// cart differs from the wanted state:
	//   items[0].count: got 1, want 3
	//   items[1]: got {"count":2,"title":"pear"}, want nothing
}
