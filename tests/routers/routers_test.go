package routers_test

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gingonic "github.com/gin-gonic/gin"
	"github.com/valyala/fasthttp"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/tests/routers/chi"
	"github.com/stay-go/stay/tests/routers/echo4"
	"github.com/stay-go/stay/tests/routers/echo5"
	"github.com/stay-go/stay/tests/routers/fiber2"
	"github.com/stay-go/stay/tests/routers/fiber3"
	"github.com/stay-go/stay/tests/routers/gin"
	"github.com/stay-go/stay/tests/routers/site"
)

var update = flag.Bool("update", false, "write the table of docs/routers.md")

func TestMain(m *testing.M) {
	gingonic.SetMode(gingonic.ReleaseMode)
	m.Run()
}

// A way is a way to serve the site with a router, of net/http or of fasthttp.
type way struct {
	name     string
	standard func(*site.Site) http.Handler
	fast     func(*site.Site) fasthttp.RequestHandler
}

var ways = []way{
	{name: "chi", standard: chi.Around},
	{name: "chi, as middleware", standard: chi.Inside},
	{name: "echo 4", standard: echo4.Around},
	{name: "echo 4, as middleware", standard: echo4.Inside},
	{name: "echo 5", standard: echo5.Around},
	{name: "echo 5, as middleware", standard: echo5.Inside},
	{name: "gin", standard: gin.New},
	{name: "fiber 2", fast: func(s *site.Site) fasthttp.RequestHandler { return fiber2.New(s).Handler() }},
	{name: "fiber 3", fast: func(s *site.Site) fasthttp.RequestHandler { return fiber3.New(s).Handler() }},
}

// A trial is a site that one router serves for one check.
type trial struct {
	*testing.T
	site   *site.Site
	url    string
	client *http.Client // trusts the site's certificate
}

// newTrial serves the site in one way, over TLS or not.
func newTrial(t *testing.T, w way, secure bool) *trial {
	app := stay.New(memstore.New(), &stay.Options{Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { _ = app.Close(context.Background()) })
	x := &trial{T: t, site: site.New(app)}
	var h http.Handler
	if w.standard != nil {
		h = w.standard(x.site)
	}
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	t.Cleanup(server.Close)
	if secure {
		server.StartTLS()
	} else {
		server.Start()
	}
	x.url, x.client = server.URL, server.Client()
	if w.fast != nil {
		x.url = serveFast(t, w.fast(x.site), server.TLS)
	}
	t.Cleanup(func() { close(x.site.Done) }) // the servers wait for streams
	return x
}

// serveFast serves with fasthttp, over TLS if c is not nil, and returns the URL.
func serveFast(t *testing.T, h fasthttp.RequestHandler, c *tls.Config) string {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	scheme := "http://"
	if c != nil {
		c = c.Clone()
		c.NextProtos = nil // no HTTP/2
		scheme, l = "https://", tls.NewListener(l, c)
	}
	server := &fasthttp.Server{Handler: h, Logger: slog.NewLogLogger(slog.DiscardHandler, 0)}
	done := make(chan error)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return scheme + l.Addr().String()
}

// Each router serves the site in the way that docs/routers.md shows, and the
// table there has the results of the checks. -update writes it.
//
// Proves B8.
func TestRouters(t *testing.T) {
	var table strings.Builder
	table.WriteString("| router |")
	for _, c := range checks {
		fmt.Fprintf(&table, " %s |", c.name)
	}
	table.WriteString("\n|---|" + strings.Repeat("---|", len(checks)) + "\n")
	for _, w := range ways {
		fmt.Fprintf(&table, "| %s |", w.name)
		for _, c := range checks {
			cell := " no |"
			if t.Run(w.name+"/"+c.name, func(t *testing.T) { c.run(newTrial(t, w, false)) }) {
				cell = " yes |"
			}
			table.WriteString(cell)
		}
		table.WriteString("\n")
	}
	if !t.Failed() {
		compareTable(t, table.String())
	}
}

// Over https the cookie has the prefix that only https may set.
//
// Proves B2, B8.
func TestRoutersOverTLS(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			b := newTrial(t, w, true).browser()
			if cookie := b.want("POST", "/own/1", 200, "1").header.Get("Set-Cookie"); !strings.HasPrefix(cookie, "__Host-stay=") || !strings.Contains(cookie, "; Secure") {
				t.Errorf("the cookie over https is %q", cookie)
			}
			b.want("GET", "/", 200, "1 ")
		})
	}
}

// compareTable compares the table of the guide with what was checked.
func compareTable(t *testing.T, table string) {
	t.Helper()
	const begin, end = "<!-- routers -->\n", "<!-- /routers -->\n"
	guide := filepath.Join("..", "..", "docs", "routers.md")
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	was, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no part from %q to %q", guide, begin, end)
	}
	if was == table {
		return
	}
	if !*update {
		t.Fatalf("the table in %s is not what was checked: run make routers and look at the difference", guide)
	}
	if err := os.WriteFile(guide, []byte(before+begin+table+end+after), 0o600); err != nil {
		t.Fatal(err)
	}
}
