// Command liveserver serves live pages for each client of package web, for tests
// in a browser. The first line it writes is the address it listens on. It ends
// after SIGTERM, and when its standard input ends, so that it does not outlive
// the test.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/sqlitestore"
	"github.com/stay-go/stay/web"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "`address` to listen on")
	db := flag.String("db", "", "SQLite `file`")
	scripts := flag.String("scripts", "", "`folder` of the repository, for the scripts of the clients")
	release := flag.String("release", "1", "`text` that some of the templates show")
	several := flag.Int("several", 0, "web.LiveOptions.Several, as a `number`")
	change := flag.Bool("change", false, "change what all visitors share before anybody can see it")
	flag.Parse()
	if err := run(*addr, *db, *scripts, *release, *change, web.Several(*several)); err != nil {
		log.Fatal(err)
	}
}

func run(addr, db, scripts, release string, change bool, several web.Several) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	store, err := sqlitestore.Open(db, sqlitestore.OwnerWait(10*time.Second))
	if err != nil {
		return err
	}
	app := stay.New(store, nil)
	s := newSite(app, release)
	if change {
		if _, err := s.all.Update(ctx, func(c *Counter) error { c.Count++; return nil }); err != nil {
			return err
		}
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	// Streams outlast these timeouts.
	server := &http.Server{Handler: s.handler(scripts, several), ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second}
	if _, err := fmt.Fprintln(os.Stdout, listener.Addr()); err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(ending); err != nil {
		return err
	}
	return app.Close(ending)
}

// scripts are the files of the clients.
var scripts = map[string]string{
	"htmx2.js":     "examples/internal/serve/static/htmx-2.0.11.min.js",
	"sse.js":       "examples/internal/serve/static/htmx-ext-sse-2.2.4.min.js",
	"htmx4.js":     "tests/pageload/testdata/htmx-4.0.1.min.js",
	"hx-sse.js":    "tests/live/testdata/htmx-4.0.1-hx-sse.min.js",
	"datastar.js":  "examples/internal/serve/static/datastar-1.0.2.js",
	"datastar0.js": "tests/live/testdata/datastar-0.21.4.js",
}

// A client is how a page says what is live and sends what is clicked.
type client struct {
	head, stream, click string
	around              bool // the element with the stream is around the parts
}

const fetches = `onclick="fetch('%s', {method: 'POST'})"`

var clients = map[string]client{
	"eventsource": {
		head: `<script>
			const listen = () => {
				const stream = new EventSource("/live?client=eventsource")
				for (const id of ["all", "mine", "rows"]) stream.addEventListener(id, e => document.getElementById(id).innerHTML = e.data)
				stream.addEventListener("cart", e => document.getElementById("cart").outerHTML = e.data)
				stream.addEventListener("stop", () => stream.close())
				stream.onerror = () => { if (stream.readyState == EventSource.CLOSED) setTimeout(listen, 500) }
			}
			addEventListener("DOMContentLoaded", listen)
		</script>`,
		click: fetches,
	},
	"htmx2": {
		head:   `<script src="/scripts/htmx2.js"></script><script src="/scripts/sse.js"></script>`,
		around: true,
		stream: `hx-ext="sse" sse-connect="/live?client=htmx2" sse-close="stop"`,
		click:  `hx-post="%s" hx-swap="none"`,
	},
	"htmx4": {
		head:   `<script src="/scripts/htmx4.js"></script><script src="/scripts/hx-sse.js"></script>`,
		stream: `hx-sse:connect="/live?client=htmx4" hx-sse:close="stop"`,
		click:  `hx-post="%s" hx-swap="none"`,
	},
	"datastar": {
		head:   `<script type="module" src="/scripts/datastar.js"></script>`,
		stream: `data-init="@get('/live?client=datastar', {retry: 'error', retryMaxCount: Infinity})"`,
		click:  `data-on:click="@post('%s')"`,
	},
	"datastar0": {
		head:   `<script type="module" src="/scripts/datastar0.js"></script>`,
		stream: `data-on-load="sse('/live?client=datastar0', {retryMaxCount: Infinity})"`,
		click:  `data-on-click="sse('%s', {method: 'post'})"`,
	},
}

// page returns the page of a client. Nothing of it comes from a state: what it
// shows, a stream has brought. It counts the nodes that change in its parts, by
// part, and can be told to look hidden. Its buttons stand above the parts: nothing
// moves them between a look and a click.
func (c client) page() string {
	around, beside := "", c.stream
	if c.around {
		around, beside = beside, around
	}
	return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>live</title><script>
		const changes = {all: 0, mine: 0, rows: 0, cart: 0}
		const watch = new MutationObserver(list => {
			for (const m of list) {
				let part = m.target.id == "parts" ? "cart" : (m.target.closest ? m.target : m.target.parentElement)?.closest("[id]")?.id
				if (part in changes && m.addedNodes.length + m.removedNodes.length + (m.type == "characterData") > 0) changes[part]++
			}
		})
		addEventListener("DOMContentLoaded", () => watch.observe(document.getElementById("parts"), {subtree: true, childList: true, characterData: true}))
		let hidden = false
		Object.defineProperty(document, "hidden", {get: () => hidden})
		Object.defineProperty(document, "visibilityState", {get: () => hidden ? "hidden" : "visible"})
		function hide(value) { hidden = value; document.dispatchEvent(new Event("visibilitychange")) }
		</script>` + c.head + `</head><body>
		<button id="do-all" ` + fmt.Sprintf(c.click, "/all") + `>all</button><button id="do-mine" ` + fmt.Sprintf(c.click, "/mine") + `>mine</button>
		<button id="do-cart" ` + fmt.Sprintf(c.click, "/cart") + `>cart</button><a id="away" href="/away">away</a>
		<div id="stream" ` + beside + `></div>
		<div id="parts" ` + around + `>
			<p id="all" sse-swap="all">?</p><p id="mine" sse-swap="mine">?</p>
			<table><tbody id="rows" sse-swap="rows"><tr><td>?</td></tr></tbody></table>
			<ul id="cart" sse-swap="cart" hx-swap="outerHTML"><li>?</li></ul>
		</div>
		</body></html>`
}
