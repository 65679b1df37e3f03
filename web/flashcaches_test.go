package web_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
	"github.com/stay-go/stay/web"
)

// saying is a site whose pages do with messages what their names say, and want
// shared caches to keep them if the query asks for it.
func saying(app *stay.App) http.Handler {
	mux := http.NewServeMux()
	page := func(path string, fn func(w http.ResponseWriter, r *http.Request) string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if control := r.URL.Query().Get("control"); control != "" {
				w.Header().Set("Cache-Control", control)
				w.Header().Set("Surrogate-Control", "max-age=60")
			}
			text := fn(w, r)
			fmt.Fprintf(w, "[%s]", text)
		})
	}
	set := func(w http.ResponseWriter, r *http.Request, text string) string {
		if err := web.SetFlash(w, r, text); err != nil {
			return err.Error()
		}
		return ""
	}
	page("/take", web.TakeFlash)
	page("/set", func(w http.ResponseWriter, r *http.Request) string { return set(w, r, r.URL.Query().Get("say")) })
	page("/settake", func(w http.ResponseWriter, r *http.Request) string { return set(w, r, "new") + web.TakeFlash(w, r) })
	page("/takeset", func(w http.ResponseWriter, r *http.Request) string {
		return web.TakeFlash(w, r) + set(w, r, "new")
	})
	page("/setset", func(w http.ResponseWriter, r *http.Request) string { return set(w, r, "old") + set(w, r, "new") })
	return web.Sessions(app, nil)(mux)
}

// No shared cache keeps a response that sets a message, shows one, or would have
// shown one to another browser.
//
// Proves W2.
func TestResponsesWithAFlashAreForOneBrowser(t *testing.T) {
	h := saying(newSite(t).app)
	c := browser(h)
	private := func(a answer, control string) {
		t.Helper()
		if got := a.header.Get("Cache-Control"); got != control || a.header.Get("Vary") != "Cookie" {
			t.Errorf("Cache-Control %q, Vary %q", got, a.header.Get("Vary"))
		}
	}
	private(send(t, c, "GET", "/set?say=1", ""), "private, no-store")
	private(send(t, c, "GET", "/take", ""), "no-store")
	private(send(t, c, "GET", "/take", ""), "private, no-store")
	a := send(t, c, "GET", "/set?say=1&control=public,+max-age=60", "")
	private(a, "private, no-store")
	if got := a.header.Get("Surrogate-Control"); got != "" {
		t.Errorf("a message with Surrogate-Control %q", got)
	}
	a = send(t, c, "GET", "/take?control=public,+max-age=60", "")
	private(a, "no-store")
	if got := a.header.Get("Surrogate-Control"); got != "" {
		t.Errorf("the page of a message with Surrogate-Control %q", got)
	}
	// Without a message this is for the program to decide, as without a new cookie.
	private(send(t, c, "GET", "/take?control=public,+max-age=60", ""), "public, max-age=60")
}

// A cookie that somebody has planted beside that of the message hides it not, and
// of two messages the later one is shown.
func TestAPlantedCookieHidesNoFlash(t *testing.T) {
	now := time.Now()
	h := saying(newSite(t, func(o *stay.Options) { o.Clock = func() time.Time { return now } }).app)
	earlier := flashOf(t, send(t, browser(h), "GET", "/set?say=earlier", ""))
	now = now.Add(time.Minute)
	mine := flashOf(t, send(t, browser(h), "GET", "/set?say=mine", ""))
	for _, sent := range []string{
		"stay-flash=junk; " + mine, "stay-flash=; " + mine, mine + "; stay-flash=junk",
		"stay-flash=a; stay-flash=b; stay-flash=c; stay-flash=d; " + mine,
		earlier + "; " + mine, mine + "; " + earlier,
	} {
		a := send(t, browser(h), "GET", "/take", "", "Cookie", sent)
		a.want(t, 200, "[mine]")
		if lines := a.header["Set-Cookie"]; len(lines) != 1 || !strings.HasPrefix(lines[0], "stay-flash=;") {
			t.Errorf("after the message: %q", lines)
		}
	}
	a := send(t, browser(h), "GET", "/take", "", "Cookie", "stay-flash=junk")
	if lines := a.header["Set-Cookie"]; len(lines) != 0 {
		t.Errorf("without a message: %q", lines)
	}
}

// A message that is set while an earlier one is shown waits for the next page, in
// whichever order the handler asks.
func TestAFlashOfThisResponseWaits(t *testing.T) {
	for _, path := range []string{"/settake", "/takeset"} {
		c := browser(saying(newSite(t).app))
		flashOf(t, send(t, c, "GET", "/set?say=old", ""))
		a := send(t, c, "GET", path, "")
		a.want(t, 200, "[old]")
		flashOf(t, a)
		if lines := a.header["Set-Cookie"]; len(lines) != 1 {
			t.Errorf("%s sets %q", path, lines)
		}
		send(t, c, "GET", "/take", "").want(t, 200, "[new]")
		send(t, c, "GET", "/take", "").want(t, 200, "[]")
	}
	c := browser(saying(newSite(t).app))
	flashOf(t, send(t, c, "GET", "/setset", ""))
	send(t, c, "GET", "/take", "").want(t, 200, "[new]")
}

// A message whose signature cannot be checked is shown when it can.
func TestAFlashOutlivesAnOutage(t *testing.T) {
	memory := memstore.New()
	app := stay.New(memory, nil)
	t.Cleanup(func() { _ = app.Close(context.Background()) })
	cookie := flashOf(t, send(t, browser(saying(app)), "GET", "/set?say=hello", ""))
	st := storefault.Wrap(memory, nil)
	again := stay.New(st, &stay.Options{OnError: func(*stay.Call, *stay.Error) {}})
	t.Cleanup(func() { _ = again.Close(context.Background()) })
	h := saying(again)
	st.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Fail(nil), Times: 1})
	a := send(t, browser(h), "GET", "/take", "", "Cookie", cookie)
	a.want(t, 200, "[]")
	if lines := a.header["Set-Cookie"]; len(lines) != 0 {
		t.Errorf("the message that cannot be checked is gone: %q", lines)
	}
	send(t, browser(h), "GET", "/take", "", "Cookie", cookie).want(t, 200, "[hello]")
}
