package nodes_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/testkit"
)

// Two nodes on one PostgreSQL show who has pages open on either, and ten seconds
// after one was closed, those of the other.
//
// Proves L26.
func TestPresenceOnPostgres(t *testing.T) {
	clock := testkit.NewClock()
	var apps []*stay.App
	var news []*stay.State[testkit.Counter]
	for _, s := range onPostgres(t, 2) {
		app := testkit.NewApp(t, s, &stay.Options{Clock: clock.Now})
		apps = append(apps, app)
		news = append(news, stay.Register(app, stay.Module[testkit.Counter]{Name: "news", Persist: stay.Global, Presence: true}))
	}
	visit := func(n int, user string) {
		b := testkit.NewBrowser(apps[0])
		testkit.Login(t, b, user)
		ctx, cancel := context.WithCancel(b.On(apps[n]).Ctx())
		here, ended := make(chan struct{}, 1), make(chan struct{})
		go func() {
			defer close(ended)
			for _, err := range news[n].Watch(ctx) {
				if err != nil {
					return // the App is closed
				}
				select {
				case here <- struct{}{}:
				default:
				}
			}
		}()
		t.Cleanup(func() { cancel(); <-ended })
		<-here
	}
	wants := func(n int, want ...string) {
		t.Helper()
		var got []string
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
			all, err := news[n].Present(t.Context())
			check(t, err)
			got = nil
			for _, p := range all {
				got = append(got, fmt.Sprint(p.User, "/", p.Pages))
			}
			if slices.Sort(got); slices.Equal(got, want) {
				return
			}
		}
		t.Fatalf("node %d shows %q, want %q", n, got, want)
	}
	visit(0, "ann")
	visit(1, "bob")
	for n := range apps {
		wants(n, "ann/1", "bob/1")
	}
	check(t, apps[1].Close(t.Context()))
	wants(0, "ann/1", "bob/1")
	clock.Advance(11 * time.Second)
	wants(0, "ann/1")
}
