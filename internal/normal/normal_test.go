package normal_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/stay-go/stay/internal/normal"
	"github.com/stay-go/stay/internal/testseed"
)

func TestTimeIsWhatJSONKeeps(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	summer := time.Date(2026, 7, 1, 12, 0, 0, 5, time.UTC)
	for name, in := range map[string]time.Time{
		"zero":              {},
		"zero, local":       time.Time{}.Local(),
		"zero, old zone":    time.Time{}.In(berlin),
		"clock reading":     time.Now(),
		"UTC with clock":    time.Now().UTC(),
		"UTC":               summer,
		"zone with rules":   summer.In(berlin),
		"old zone":          time.Date(1880, 1, 1, 0, 0, 0, 0, berlin),
		"old western zone":  summer.In(time.FixedZone("LMT", -17762)),
		"fixed, half hour":  summer.In(time.FixedZone("", 19800)),
		"fixed, with name":  summer.In(time.FixedZone("IST", 19800)),
		"fixed at UTC":      summer.In(time.FixedZone("", 0)),
		"almost a day":      summer.In(time.FixedZone("", 24*3600-1)),
		"almost a day west": summer.In(time.FixedZone("", 1-24*3600)),
	} {
		got := normal.Time(in)
		if !got.Equal(in) {
			t.Errorf("%s: %v became another instant, %v", name, in, got)
		}
		if again := normal.Time(got); again != got {
			t.Errorf("%s: %v is not == %v", name, again, got)
		}
		b, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var read time.Time
		if err := json.Unmarshal(b, &read); err != nil {
			t.Fatal(err)
		}
		if read = normal.Time(read); read != got {
			t.Errorf("%s: %s reads as %v, not %v", name, b, read, got)
		}
	}
	if got := normal.Time(time.Date(1880, 1, 1, 0, 0, 0, 0, berlin)); got.Day() != 1 {
		t.Errorf("midnight moved to another day: %v", got)
	}
	if b, err := json.Marshal(normal.Time(summer.In(time.FixedZone("", 30*3600)))); err == nil {
		t.Errorf("a zone of more than a day became %s", b)
	}
}

func TestExactKeepsEachDigit(t *testing.T) {
	for number, want := range map[string]bool{
		"0": true, "-0": true, "0e99999999999": true, "0.1": true, "0.10": true, "1e5": true, "100000": true, "12E-2": true,
		"9007199254740992": true, "9007199254740993": false, "-9007199254740993": false, "18446744073709551615": false,
		"9223372036854775807": false, "9223372036854775808": true, "1152921504606846976": true, "1152921504606847000": true,
		"0.1234567890123456789": false, "0.30000000000000004": true, "1e400": false, "1e-400": false, "123456789e-320": true, "123456789e-328": false,
		"5e-324": true, "1.7976931348623157e308": true, "1e99999999999999999999": false, "1e-99999999999999999999": false,
		"0.000000000000000000000000000001": true, "1000000000000000000000000": true, "1000000000000000000000001": false,
	} {
		if got := normal.Exact([]byte(number)); got != want {
			t.Errorf("Exact(%s) is %v", number, got)
		}
	}
	if !normal.ExactInteger([]byte("0.1234567890123456789")) || normal.ExactInteger([]byte("9007199254740993")) {
		t.Error("ExactInteger")
	}
}

func TestExactTakesEachFloat(t *testing.T) {
	seed := testseed.New(t)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 10_000 {
		f := math.Float64frombits(rnd.Uint64())
		b, err := json.Marshal(f)
		if err != nil {
			continue // NaN
		}
		for _, text := range []string{string(b), strconv.FormatFloat(f, 'e', 16, 64), strconv.FormatFloat(f, 'f', -1, 64)} {
			if !normal.Exact([]byte(text)) {
				t.Fatalf("%s, of the float %v, is refused", text, f)
			}
		}
	}
}
