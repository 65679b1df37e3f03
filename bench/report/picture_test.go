package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// made are rounds of every server under every load, in which scs on SQLite
// loses a quarter of what it acknowledged.
func made() []result {
	var all []result
	for round := range 3 {
		for _, l := range scenarios {
			for i, name := range l.servers {
				r := result{Scenario: l.name, Server: name, Round: round, Rate: float64(20_000 / (i + 1)), Ratio: 1 / float64(i+1)}
				if name != baseline && l.request == increment {
					r.Acked = 1000
				}
				if l.name == "sqlite-one" && name == "scs-sqlite" {
					r.Lost = 250
				}
				all = append(all, r)
			}
		}
	}
	return all
}

// The picture is well-formed and says of every server how fast it is, and how
// much it loses.
func TestPicture(t *testing.T) {
	file := filepath.Join(t.TempDir(), "speed.svg")
	if err := drawPicture(file, made()); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for decoder := xml.NewDecoder(strings.NewReader(string(data))); ; {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.CharData:
			texts = append(texts, string(token))
		case xml.StartElement:
			if token.Name.Local == "text" && !insidePicture(token.Attr) {
				t.Errorf("a browser without the font may cut this text off: %v", token.Attr)
			}
		}
	}
	shown := strings.Join(texts, "|")
	for _, b := range bars() {
		if !strings.Contains(shown, b.label) {
			t.Errorf("%s is not in the picture:\n%s", b.label, shown)
		}
	}
	for _, want := range []string{"1.00 (20,000/s)", "0.50 (10,000/s)", "25.0 %", "none", "nothing to lose"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is not in the picture:\n%s", want, shown)
		}
	}
}

// insidePicture reports whether a text says how wide it is, and is not wider than
// its place.
func insidePicture(attrs []xml.Attr) bool {
	at := map[string]float64{}
	for _, a := range attrs {
		at[a.Name.Local], _ = strconv.ParseFloat(a.Value, 64)
	}
	return at["textLength"] > 0 && at["x"]+at["textLength"] <= pictureWidth.Points()
}

// A picture of which a part would be missing is refused, before anything is
// measured where that is known.
func TestPictureNeedsAll(t *testing.T) {
	file := filepath.Join(t.TempDir(), "speed.svg")
	for _, o := range []options{
		{rounds: 1, duration: time.Second, picture: file, only: "stay-sqlite"},
		{rounds: 1, duration: time.Second, picture: file, scenarios: "memory,sqlite,sqlite-one"},
		{rounds: 1, duration: time.Second, picture: file, only: "stay-sqlite,stay-mem,scs-mem,scs-sqlite,mapmutex"},
	} {
		if err := run(t.Context(), &o); err == nil || !strings.Contains(err.Error(), "-picture needs") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	var some []result
	for _, r := range made() {
		if r.Server != "scs-mem" {
			some = append(some, r)
		}
	}
	if err := drawPicture(file, some); err == nil || !strings.Contains(err.Error(), "scs-mem") {
		t.Errorf("a picture without scs-mem: %v", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a picture was written")
	}
}
