package routers_test

import (
	"context"
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

	"github.com/gin-gonic/gin"
	"github.com/valyala/fasthttp"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/tests/routers/chi"
	"github.com/stay-go/stay/tests/routers/echo4"
	"github.com/stay-go/stay/tests/routers/echo5"
	"github.com/stay-go/stay/tests/routers/fiber2"
	"github.com/stay-go/stay/tests/routers/fiber3"
	ginsite "github.com/stay-go/stay/tests/routers/gin"
	"github.com/stay-go/stay/tests/routers/site"
)

var update = flag.Bool("update", false, "write the table of docs/routers.md")

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	m.Run()
}

// A way is one of serving the site with a router.
type way struct {
	name  string
	serve func(t *testing.T, s *site.Site) (url string)
}

var ways = []way{
	{"chi", standard(chi.New)},
	{"echo 4", standard(echo4.Around)},
	{"echo 5", standard(echo5.Around)},
	{"gin", standard(ginsite.New)},
	{"fiber 2", func(t *testing.T, s *site.Site) string { return serveFast(t, fiber2.New(s).Handler()) }},
	{"fiber 3", func(t *testing.T, s *site.Site) string { return serveFast(t, fiber3.New(s).Handler()) }},
}

// standard serves the site with a router of net/http.
func standard(h func(*site.Site) http.Handler) func(*testing.T, *site.Site) string {
	return func(t *testing.T, s *site.Site) string {
		server := httptest.NewUnstartedServer(h(s))
		server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
		server.Start()
		t.Cleanup(server.Close)
		return server.URL
	}
}

// serveFast serves the site with a router of fasthttp.
func serveFast(t *testing.T, h fasthttp.RequestHandler) string {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
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
	return "http://" + l.Addr().String()
}

// A trial is a site that one router serves for one check.
type trial struct {
	*testing.T
	site *site.Site
	url  string
}

func newTrial(t *testing.T, w way) *trial {
	app := stay.New(memstore.New(), &stay.Options{Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { _ = app.Close(context.Background()) })
	x := &trial{T: t, site: site.New(app)}
	x.url = w.serve(t, x.site)
	return x
}

// Each router serves the site in the way that docs/routers.md shows, and the table
// there has what was checked. -update writes it.
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
			if t.Run(w.name+"/"+c.name, func(t *testing.T) { c.run(newTrial(t, w)) }) {
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
