package sse_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/sse"
	"github.com/stay-go/stay/internal/sse/ssetest"
)

var all = []sse.Dialect{sse.Plain, sse.HTMX, sse.Datastar, sse.Fragments}

// What each client sends tells which it is.
//
// Proves L16.
func TestClientsAreToldByTheirHeaders(t *testing.T) {
	for d, headers := range map[sse.Dialect]http.Header{
		sse.Plain:     {"Accept": {"text/event-stream"}},
		sse.HTMX:      {"Hx-Request": {"true"}, "Accept": {"text/html, text/event-stream"}},
		sse.Datastar:  {"Datastar-Request": {"true"}, "Accept": {"text/event-stream, text/html, application/json"}},
		sse.Fragments: {"Datastar-Request": {"true"}, "Accept": {"text/event-stream"}},
	} {
		want(t, sse.DialectOf(headers), d)
	}
}

// A part reaches the page of each client as it is, whatever ends its lines,
// between two other parts and in pieces of any length. Its place is the inside of
// its element, or the element if the part is the whole of it.
//
// Proves L16, L20.
func FuzzPartsReachThePage(f *testing.F) {
	for _, html := range []string{
		"", "7", "<b>7</b>", "<li>a</li>\n<li>b</li>\n", "a\rb", "a\r\nb", "\r", "\n\n", "\r\r\n\n", " a\n b",
		"data: x\n\nevent: other\ndata: y\n\n", "id: stop", ":", "<p id=\"part\">x</p>", "<p id=part>\n</p>",
		"<!-- <p id='part'> --><p class=a id='part'\n>", "<p id=other>", "<p class=\" id=part\">", "<p/id=part>", "<p id = \"part\" >",
	} {
		f.Add(html, uint8(1))
		f.Add(html, uint8(7))
	}
	f.Fuzz(func(t *testing.T, html string, size uint8) {
		lines := lineEnd.Replace(html)
		for _, d := range all {
			stream := d.AppendRetry(nil, time.Second)
			stream = d.AppendPart(stream, "before", []byte("1"))
			stream = d.AppendPart(stream, "part", []byte(html))
			stream = d.AppendPart(stream, "after", []byte("2"))
			stream = sse.ID{1, 2, 3}.Append(stream)
			stream = append(stream, sse.Heartbeat...)
			c := ssetest.New(d)
			for n := max(int(size), 1); len(stream) > 0; {
				n = min(n, len(stream))
				c.Feed(stream[:n])
				stream = stream[n:]
			}
			got := patches(t, d, c.Read().Messages)
			if len(got) != 3 {
				t.Fatalf("dialect %d: %d patches, want 3: %+v", d, len(got), got)
			}
			want(t, got[0].HTML, "1")
			want(t, got[2].HTML, "2")
			wanted := lines
			if d == sse.Fragments { // it trims each line; that of the template's tags it does not
				wanted = trimmed(lines, got[1].Inner)
			}
			if d == sse.Plain || got[1].Inner {
				want(t, got[1].ID, "part")
			}
			if got[1].HTML != wanted {
				t.Errorf("dialect %d: the page has %q, want %q", d, got[1].HTML, wanted)
			}
			want(t, c.Read().Retry, 1000)
			have := make(sse.ID, 3)
			if !have.Parse(c.Read().ID) || have[0] != 1 || have[2] != 3 {
				t.Errorf("dialect %d: the client comes back with %q", d, c.Read().ID)
			}
		}
	})
}

var lineEnd = strings.NewReplacer("\r\n", "\n", "\r", "\n")

func patches(t *testing.T, d sse.Dialect, messages []ssetest.Message) []ssetest.Patch {
	t.Helper()
	out, err := ssetest.Patches(d, messages)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func want[T comparable](t *testing.T, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("got %#v, want %#v", got, want)
	}
}

// trimmed is a text as Datastar 0.21 reads it, in a template or not.
func trimmed(text string, inner bool) string {
	if inner {
		text = "<template>" + text + "</template>"
	}
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	text = strings.Join(lines, "\n")
	if inner {
		text = strings.TrimSuffix(strings.TrimPrefix(text, "<template>"), "</template>")
	}
	return text
}

// A part is the whole element if its first tag has the id, however it is written.
//
// Proves L20.
func TestWholeElementsAreToldFromTheirInside(t *testing.T) {
	for html, whole := range map[string]bool{
		`<p id="part">x</p>`:                true,
		`<p id='part'>x</p>`:                true,
		`<p id=part>x</p>`:                  true,
		"\n <!-- a -->\t<P class=a ID=part": true,
		`<p a b="x > y" id = "part"/>`:      true,
		`<p id="partly">x</p>`:              false,
		`<p data-id="part">x</p>`:           false,
		`<p title=" id=part ">x</p>`:        false,
		`<p title="<p id=part>">x</p>`:      false,
		`<p><b id="part"></b></p>`:          false,
		`x <p id="part">`:                   false,
		`</p id="part">`:                    false,
		`<!-- <p id="part">`:                false,
		`<`:                                 false,
		``:                                  false,
		`<p id`:                             false,
		`<p id="part`:                       true,
		`<p id="other" id="part">`:          false,
	} {
		for _, d := range all[1:] {
			c := ssetest.New(d)
			c.Feed(d.AppendPart(nil, "part", []byte(html)))
			if got := patches(t, d, c.Read().Messages); len(got) != 1 || got[0].Inner == whole {
				t.Errorf("dialect %d: %q: %+v, want the whole element: %t", d, html, got, whole)
			}
		}
	}
}

// Ids of parts need no escapes anywhere, and are no names that have a meaning.
//
// Proves L20.
func TestIdsOfPartsAreChecked(t *testing.T) {
	for _, id := range []string{"said", "room-7", "a_b", "Z", strings.Repeat("a", 64)} {
		want(t, sse.ValidPart(id), true)
	}
	for _, id := range []string{"", "7", "-a", "a b", "a:b", "a.b", "é", "a\n", "a\"", "stop", "error", "open", strings.Repeat("a", 65)} {
		if sse.ValidPart(id) {
			t.Errorf("%q is taken for an id", id)
		}
	}
}

// Each client is told in its own language when to come back, and to stay away.
//
// Proves L16.
func TestClientsAreToldWhenToComeBack(t *testing.T) {
	for _, d := range all {
		c := ssetest.New(d)
		c.Feed(d.AppendRetry(nil, 1234*time.Millisecond))
		want(t, c.Read().Retry, 1234)
		c.Feed(d.AppendRetry(nil, time.Nanosecond)) // at once is never what is meant
		want(t, c.Read().Retry, 1)
		want(t, len(patches(t, d, c.Read().Messages)), 0)
	}
	for d, breaks := range map[sse.Dialect]bool{sse.Plain: false, sse.HTMX: false, sse.Datastar: true, sse.Fragments: true} {
		want(t, d.Breaks(), breaks)
		c := ssetest.New(d)
		c.Feed(d.AppendStop(nil))
		if breaks { // a clean end is what tells it
			want(t, len(c.Read().Messages), 0)
			continue
		}
		want(t, c.Read().ID, sse.Stop)
		want(t, c.Read().Messages[0], ssetest.Message{Event: sse.Stop})
	}
	want(t, sse.Plain.StopStatus(), http.StatusNoContent)
	want(t, sse.HTMX.StopStatus(), http.StatusConflict)
}

// An id is read back as it was written, and nothing else is taken for one.
//
// Proves L7.
func FuzzIDs(f *testing.F) {
	f.Add("")
	f.Add("AAAAAAAAAAA")
	f.Add("AAAAAAAAAAB")
	f.Add(sse.Stop)
	f.Add("__________8_________-8")
	f.Add("AAAA\nAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		for n := range 4 {
			v := make(sse.ID, n)
			for i := range v {
				v[i] = 7
			}
			ok := v.Parse(text)
			if again := string(v.Append(nil)); ok && again != "id: "+text+"\n\n" {
				t.Errorf("%q was read as the id %q", text, again)
			}
			for _, p := range v {
				if !ok && p != 0 {
					t.Errorf("%q is no id, and left %v", text, v)
				}
			}
		}
	})
}

// A print tells parts and bytes apart, is never that of nothing, and stays what it
// is: pages that are open have it.
//
// Proves L7.
func TestPrints(t *testing.T) {
	a := sse.PrintOf("a", []byte("1"))
	if a == sse.PrintOf("b", []byte("1")) || a == sse.PrintOf("a", []byte("2")) || sse.PrintOf("ab", nil) == sse.PrintOf("a", []byte("b")) {
		t.Error("two parts have one print")
	}
	v := sse.ID{a, 0}
	want(t, string(v.Append(nil)), "id: "+golden+"AAAAAAAAAAA\n\n")
	var back sse.ID = make([]sse.Print, 2)
	if !back.Parse(golden+"AAAAAAAAAAA") || back[0] != a || back[1] != 0 {
		t.Errorf("read back: %v", back)
	}
}

// golden is the print of the part a with the bytes 1, in an id.
const golden = "BanFaaGFrGA"
