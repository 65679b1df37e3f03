package browsertest

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// A Page is one tab of one visitor. Its methods end the test when the step
// they take fails or takes too long. They are called from the goroutine of
// the test, one at a time; different pages are independent.
type Page struct {
	t   testing.TB
	ctx context.Context
}

// DisableJavaScript keeps the scripts of the pages loaded from now on from
// running.
func (p *Page) DisableJavaScript() {
	p.t.Helper()
	run(p, "disable JavaScript", func(ctx context.Context, target *chromedp.Target) (cdp.Empty, error) {
		return cdp.Call(ctx, target, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	})
}

// Goto loads a page and waits until it is complete.
func (p *Page) Goto(url string) {
	p.t.Helper()
	p.do("load "+url, chromedp.Navigate(url))
}

// Reload loads the page again, as the browser's own button does, and waits
// until it is complete.
func (p *Page) Reload() {
	p.t.Helper()
	p.do("reload", chromedp.Reload())
}

// Click waits for the first element that matches a CSS selector to be visible
// and clicks on it. It does not wait for what the click brings about.
func (p *Page) Click(selector string) {
	p.t.Helper()
	p.do("click on "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// DoubleClick waits for the first element that matches to be visible and
// clicks on it twice in a row, as fast as a hand does.
func (p *Page) DoubleClick(selector string) {
	p.t.Helper()
	p.do("see "+selector, chromedp.WaitVisible(chromedp.CSS(selector)))
	// By place and not by element: the first click may bring another page.
	at := p.Eval(fmt.Sprintf(`(() => {
		const e = document.querySelector(%s)
		e.scrollIntoView({block: "center", behavior: "instant"})
		const r = e.getBoundingClientRect()
		return (r.x + r.width / 2) + " " + (r.y + r.height / 2)
	})()`, strconv.Quote(selector)))
	var x, y float64
	if _, err := fmt.Sscan(at, &x, &y); err != nil {
		p.t.Fatalf("place of %s: %q", selector, at)
	}
	p.do("click on "+selector, chromedp.MouseClickXY(x, y))
	p.do("click again on "+selector, chromedp.MouseClickXY(x, y, chromedp.ClickCount(2)))
}

// Type waits for the first element that matches to be visible and types text
// into it with the keyboard, behind what is there. "\r" is the Enter key.
func (p *Page) Type(selector, text string) {
	p.t.Helper()
	p.do("type into "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
}

// Back goes to the page before, as the browser's own button does, and waits
// until it is complete.
func (p *Page) Back() {
	p.t.Helper()
	p.do("go back", chromedp.NavigateBack())
}

// Look makes the window so many pixels wide and high and has the system
// prefer a colour scheme, "light" or "dark".
func (p *Page) Look(width, height int64, scheme string) {
	p.t.Helper()
	p.do("resize", chromedp.EmulateViewport(width, height))
	run(p, "prefer "+scheme, func(ctx context.Context, target *chromedp.Target) (cdp.Empty, error) {
		return cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
	})
}

// Text returns the text of the first element that matches, as a reader sees
// it.
func (p *Page) Text(selector string) string {
	p.t.Helper()
	return run(p, "text of "+selector, chromedp.Text(chromedp.CSS(selector)))
}

// WantText waits until the first element that matches has exactly this text,
// also across reloads of the page.
func (p *Page) WantText(selector, want string) {
	p.t.Helper()
	p.wantSame("text of "+selector, fmt.Sprintf("document.querySelector(%s)?.innerText ?? null", strconv.Quote(selector)), want)
}

// WantAttribute waits until the first element that matches has an attribute
// with exactly this value, also across reloads of the page.
func (p *Page) WantAttribute(selector, name, want string) {
	p.t.Helper()
	p.wantSame(name+" of "+selector, fmt.Sprintf("document.querySelector(%s)?.getAttribute(%s) ?? null",
		strconv.Quote(selector), strconv.Quote(name)), want)
}

// WantValue waits until an expression of JavaScript has exactly this value, a
// string, also across reloads of the page. what names it in a failure.
func (p *Page) WantValue(what, expression, want string) {
	p.t.Helper()
	p.wantSame(what, expression, want)
}

// Eval runs an expression of JavaScript in the page and returns its value,
// which must be a string.
func (p *Page) Eval(expression string) string {
	p.t.Helper()
	return run(p, "evaluate "+expression, chromedp.Evaluate[string](expression))
}

// Cookies returns what the browser would send to a URL, with the attributes it
// has stored. Expires is zero for a cookie that ends with the browser.
func (p *Page) Cookies(url string) []*http.Cookie {
	p.t.Helper()
	return run(p, "cookies of "+url, func(ctx context.Context, target *chromedp.Target) ([]*http.Cookie, error) {
		result, err := cdp.Call(ctx, target, network.GetCookies, network.GetCookiesParams{URLs: []string{url}})
		if err != nil {
			return nil, err
		}
		var cookies []*http.Cookie
		for _, c := range result.Cookies {
			cookie := &http.Cookie{
				Name: c.Name, Value: c.Value, Path: c.Path,
				HttpOnly: c.HTTPOnly, Secure: c.Secure, SameSite: sameSite[c.SameSite],
			}
			if !c.Session {
				cookie.Expires = time.UnixMilli(int64(c.Expires * 1000))
			}
			cookies = append(cookies, cookie)
		}
		return cookies, nil
	})
}

// sameSite translates what the browser says; it says nothing for a cookie
// without the attribute, which is http's zero value.
var sameSite = map[network.CookieSameSite]http.SameSite{
	network.CookieSameSiteStrict: http.SameSiteStrictMode,
	network.CookieSameSiteLax:    http.SameSiteLaxMode,
	network.CookieSameSiteNone:   http.SameSiteNoneMode,
}

// Screenshot returns what the window shows, as PNG.
func (p *Page) Screenshot() []byte {
	p.t.Helper()
	return run(p, "screenshot", chromedp.CaptureScreenshot())
}

func (p *Page) do(step string, action chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	run(p, step, action)
}

// run takes one step within its time.
func run[T any](p *Page, step string, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, timeout)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		p.t.Fatalf("%s: %v", step, err)
	}
	return value
}

// wantSame evaluates an expression until it gives want. The page may be
// replaced meanwhile, and then an evaluation fails without meaning anything;
// so it asks again until the time is over.
func (p *Page) wantSame(what, expression, want string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, timeout)
	defer cancel()
	again := time.NewTicker(pollInterval)
	defer again.Stop()
	seen := "nothing"
	for {
		got, err := chromedp.Run(ctx, chromedp.Evaluate[*string](expression))
		switch {
		case err != nil && ctx.Err() == nil:
			seen = err.Error()
		case err == nil && got == nil:
			seen = "nothing that matches"
		case err == nil && *got == want:
			return
		case err == nil:
			seen = strconv.Quote(*got)
		}
		select {
		case <-ctx.Done():
			p.t.Fatalf("%s: want %q, still %s after %v", what, want, seen, timeout)
		case <-again.C:
		}
	}
}
