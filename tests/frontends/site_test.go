package frontends_test

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/web"
)

// patience is how long a request may be awaited; nothing waits for it to pass.
const patience = 30 * time.Second

//go:embed testdata/page.html
var pageHTML string

var page = template.Must(template.New("page").Parse(pageHTML))

// Fields are the values that a program may want from a page.
type Fields struct {
	Text     string     `json:"text"`
	Search   string     `json:"search"`
	Tel      string     `json:"tel"`
	URL      string     `json:"url"`
	Email    string     `json:"email"`
	Password string     `json:"password"`
	Hidden   string     `json:"hidden"`
	Area     string     `json:"area"`
	Number   *int       `json:"number"`
	Price    *float64   `json:"price"`
	Range    int        `json:"range"`
	Date     *time.Time `json:"date"`
	At       time.Time  `json:"at,omitzero"`
	Month    string     `json:"month"`
	Week     string     `json:"week"`
	Time     string     `json:"time"`
	Color    string     `json:"color"`
	Box      bool       `json:"box"`
	Paired   bool       `json:"paired"`
	Choices  []string   `json:"choices"`
	Pick     string     `json:"pick"`
	Agree    *bool      `json:"agree"`
	One      string     `json:"one"`
	Many     []string   `json:"many"`
	Place    struct {
		City string `json:"city"`
	} `json:"place"`
	Items []struct {
		Name  string `json:"name"`
		Count int    `json:"count"`
	} `json:"items"`
}

// Strict are fields that need a value.
type Strict struct {
	Number int       `json:"number"`
	Price  float64   `json:"price"`
	Date   time.Time `json:"date"`
	At     time.Time `json:"at"`
	One    bool      `json:"one"`
}

// A site serves the pages and notes the requests that it gets.
type site struct {
	t    *testing.T
	url  string
	rows chan string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, rows: make(chan string, 10)}
	app := stay.New(memstore.New(), nil)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /page/{kind}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = page.Execute(w, map[string]string{"Kind": r.PathValue("kind")})
	})
	mux.Handle("/bind", s.note(func(r *http.Request) (any, error) { return read[Fields](r) }))
	mux.Handle("/strict", s.note(func(r *http.Request) (any, error) { return read[Strict](r) }))
	mux.Handle("/upload", s.note(func(r *http.Request) (any, error) {
		file, header, err := r.FormFile("photo")
		if err != nil && !errors.Is(err, http.ErrMissingFile) {
			return nil, err
		}
		fields, bad := read[Fields](r)
		if err == nil {
			fields.Hidden = fmt.Sprintf("%s of %d bytes", header.Filename, header.Size)
			bad = errors.Join(bad, file.Close())
		}
		return fields, bad
	}))
	root := http.NewServeMux()
	root.Handle("/", web.Sessions(app, nil)(mux))
	for name, file := range map[string]string{
		"/htmx2.js":    "../../examples/internal/serve/static/htmx-2.0.11.min.js",
		"/htmx4.js":    "../pageload/testdata/htmx-4.0.1.min.js",
		"/json-enc.js": "testdata/htmx-ext-json-enc-2.0.3.js",
		"/datastar.js": "testdata/datastar-1.0.2.js",
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		root.HandleFunc(name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/javascript")
			_, _ = w.Write(text)
		})
	}
	server := httptest.NewServer(root)
	s.url = server.URL
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		if err := app.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func read[T any](r *http.Request) (T, error) {
	var in T
	err := web.Bind(r, &in)
	return in, err
}

// note answers with the result of a function for a request, and notes both.
func (s *site) note(bind func(r *http.Request) (any, error)) http.Handler {
	return web.Handle(func(w http.ResponseWriter, r *http.Request) error {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		row := sent(r, string(body))
		r.Body = io.NopCloser(bytes.NewReader(body))
		in, err := bind(r)
		s.rows <- row + got(in, err)
		if err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

// next returns the row of the request that was just made.
func (s *site) next(name string) string {
	s.t.Helper()
	select {
	case row := <-s.rows:
		return row
	case <-time.After(patience):
		s.t.Fatalf("%s: nothing arrived", name)
		return ""
	}
}

var boundary = regexp.MustCompile(`----WebKitFormBoundary\w+`)

// sent writes the parts of a request that matter for its payload.
func sent(r *http.Request, body string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", r.Method, r.URL)
	for _, name := range []string{"Content-Type", "HX-Request", "Datastar-Request"} {
		if value := r.Header.Get(name); value != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, boundary.ReplaceAllString(value, "----boundary"))
		}
	}
	if parts := boundary.FindString(body); parts != "" {
		for part := range strings.SplitSeq(body, "--"+parts) {
			if header, value, ok := strings.Cut(strings.Trim(part, "\r\n"), "\r\n\r\n"); ok || header != "" && header != "--" {
				fmt.Fprintf(&b, "| %s: %q\n", strings.ReplaceAll(strings.TrimPrefix(header, disposition), "\r\n", "; "), value)
			}
		}
		return b.String()
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(body, "\r\n"), "\r\n") {
		if body != "" {
			fmt.Fprintf(&b, "| %s\n", line)
		}
	}
	return b.String()
}

// disposition is the beginning of each part's header; the table leaves it out.
const disposition = "Content-Disposition: form-data; "

// got writes what a program gets: the fields that are not empty, or the
// messages for its user.
func got(in any, err error) string {
	if err != nil {
		text := fmt.Sprintf("%d\n", web.Status(err))
		fields := stay.FieldErrors(err)
		if len(fields) == 0 {
			return text + "  " + err.Error() + "\n"
		}
		for _, line := range lines(fields) {
			text += line
		}
		return text
	}
	text, _ := json.Marshal(in)
	var all map[string]json.RawMessage
	_ = json.Unmarshal(text, &all)
	fields := make(map[string]string)
	for name, value := range all {
		if !slices.Contains([]string{`""`, `null`, `false`, `0`, `{"city":""}`}, string(value)) {
			fields[name] = string(value)
		}
	}
	return "200\n" + strings.Join(lines(fields), "")
}

func lines(fields map[string]string) []string {
	var lines []string
	for name, value := range fields {
		lines = append(lines, fmt.Sprintf("  %s: %s\n", name, value))
	}
	slices.Sort(lines)
	return lines
}
