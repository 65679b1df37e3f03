package signing_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/internal/access"
	"github.com/stay-go/stay/internal/testkit"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/store/storefault"
)

// goldenKeys are the keys of the golden cookies.
var goldenKeys = [][]byte{bytes.Repeat([]byte{7}, 32), []byte("a signing key of thirty-two bytes")}

func noon(year, month, day int) time.Time {
	return time.Date(year, time.Month(month), day, 12, 0, 0, 0, time.UTC)
}

// goldenCookies are values that browsers have: by no change may they say
// anything else.
var goldenCookies = []struct {
	says  access.Token
	long  [2]string // by each key, in the format that is only read
	short [2]string // in the format that is issued
}{
	{
		access.Token{ID: [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, Created: noon(2026, 3, 1), IdleEnd: noon(2026, 3, 2)},
		[2]string{
			"vpCnrQEAAQIDBAUGBwgJCgsMDQ4PAAAAAAAAAABppCpAAAAAAGmle8Ac8165eQ2o2f3aASR1P9Z34ae62kizsfBZ0C_bdMKIOA",
			"8H6RSAEAAQIDBAUGBwgJCgsMDQ4PAAAAAAAAAABppCpAAAAAAGmle8BRSz8jMANYXxD1a6fbc7ObQd6q3H4q4WZpBroMW8GffA",
		},
		[2]string{
			"vpCnrQIAAQIDBAUGBwgJCgsMDQ4PAICpoZoNgMYK7mGQP-QH-Vr5ijuwVoJv7A",
			"8H6RSAIAAQIDBAUGBwgJCgsMDQ4PAICpoZoNgMYKDFRZUj5xIfSypMhwT_8_Ow",
		},
	},
	{
		access.Token{ID: [16]byte{255, 254, 253, 252, 251, 250, 249, 248, 247, 246, 245, 244, 243, 242, 241, 240}, Gen: 300, Created: noon(2026, 3, 1), IdleEnd: noon(2026, 3, 31)},
		[2]string{
			"vpCnrQH__v38-_r5-Pf29fTz8vHwAAABLAAAAABppCpAAAAAAGnLt0BZHbd7IiyY38bH7ZDjP5FAp9j1DqvRrcHWcP3ax5TdKA",
			"8H6RSAH__v38-_r5-Pf29fTz8vHwAAABLAAAAABppCpAAAAAAGnLt0AUFrAW24eWeCDAl2o-9jS3I2b_g0TxKGwCcgcft7SHug",
		},
		[2]string{
			"vpCnrQL__v38-_r5-Pf29fTz8vHwrAKAqaGaDYC0vALxNZfsQemmi1R8wpOAikIY",
			"8H6RSAL__v38-_r5-Pf29fTz8vHwrAKAqaGaDYC0vAJIt1WgvYd7XLVFOXVZGRY8",
		},
	},
	{
		access.Token{ID: [16]byte{1}, Gen: math.MaxUint32, Created: noon(1969, 3, 1), IdleEnd: noon(2126, 3, 31)},
		[2]string{
			"vpCnrQEBAAAAAAAAAAAAAAAAAAAA___________-bT3AAAAAASXjeUDE3jF6Asy5l-7sgxeN-euWZ6NB9ENqXmF26R2R7SMNbQ",
			"8H6RSAEBAAAAAAAAAAAAAAAAAAAA___________-bT3AAAAAASXjeUDygZvYZpMThGwfBD4ADqmrUaH69ibAcK-eb2uK22qQGQ",
		},
		[2]string{
			"vpCnrQIBAAAAAAAAAAAAAAAAAAAA_____w__iJYZgO6x9yQZdPg6_Nj7pfmmvEttexFQ",
			"8H6RSAIBAAAAAAAAAAAAAAAAAAAA_____w__iJYZgO6x9yTPVrHsOyNlsXP7ykMBCEEG",
		},
	},
}

// fixedRing signs with the first of the keys, and verifies with all of them.
func fixedRing(t testing.TB, keys ...[]byte) access.Keyring {
	t.Helper()
	return access.AppOf(testkit.NewApp(t, memstore.New(), nil)).Keyring(keys)
}

func wantSays(t testing.TB, ring access.Keyring, value string, want *access.Token) {
	t.Helper()
	got, err := ring.Verify(background, value)
	switch {
	case err != nil:
		t.Errorf("%s: %v", value, err)
	case want == nil || got == nil:
		if want != nil || got != nil {
			t.Errorf("%s says %v, want %v", value, got, want)
		}
	case got.ID != want.ID || got.Gen != want.Gen || !got.Created.Equal(want.Created) || !got.IdleEnd.Equal(want.IdleEnd):
		t.Errorf("%s says %v of %v until %v, want %v of %v until %v", value, got.Gen, got.Created, got.IdleEnd, want.Gen, want.Created, want.IdleEnd)
	}
}

// Cookies that were issued once say the same in all releases, in both formats
// and by each key that verifies. New ones have the short format. A program with
// other keys takes them for those of another program, until they have expired.
//
// Proves W1.
func TestCookiesOfBothFormatsSayWhatTheySaid(t *testing.T) {
	next := bytes.Repeat([]byte{9}, 32)
	other := fixedRing(t, next)
	for i, key := range goldenKeys {
		now, rotated := fixedRing(t, key), fixedRing(t, next, key)
		for _, c := range goldenCookies {
			if got, err := now.Sign(background, &c.says); err != nil || got != c.short[i] {
				t.Errorf("%v is signed as %s, %v, want %s", c.says, got, err, c.short[i])
			}
			for _, value := range []string{c.long[i], c.short[i]} {
				wantSays(t, now, value, &c.says)
				wantSays(t, rotated, value, &c.says)
				wantSays(t, fixedRing(t, next), value, nil)
				if !other.Foreign(value, c.says.IdleEnd.Add(-time.Second)) || other.Foreign(value, c.says.IdleEnd) {
					t.Errorf("%s is not taken for that of another program until it expires", value)
				}
			}
		}
	}
}

// sealedBy returns a value as a key signs it, with so much of the HMAC.
func sealedBy(key, payload []byte, sum int) string {
	id := sha256.Sum256(append([]byte("stay key id\x00"), key...))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("stay session\x00"))
	mac.Write(payload)
	return base64.RawURLEncoding.EncodeToString(append(append(id[:4:4], payload...), mac.Sum(nil)[:sum]...))
}

// A signature counts in its format's length only, and a format that is not known
// is as good as none, although its key is: nobody is asked about it.
//
// Proves W1.
func TestOnlyKnownFormatsWithTheirSignatureCount(t *testing.T) {
	n := newKeyNode(t, memstore.New(), stay.Options{})
	n.store.Add(storefault.Rule{Op: storefault.Load, Fault: storefault.Fail(nil)})
	key := goldenKeys[0]
	ring := fixedRing(t, key)
	c := &goldenCookies[1]
	for format, good := range map[byte]string{1: c.long[0], 2: c.short[0]} {
		raw, err := base64.RawURLEncoding.DecodeString(good)
		if err != nil {
			t.Fatal(err)
		}
		size := map[byte]int{1: 32, 2: 16}[format]
		payload := raw[4 : len(raw)-size]
		if payload[0] != format || sealedBy(key, payload, size) != good {
			t.Fatalf("%s is not what its format says", good)
		}
		for cut := range 33 {
			if cut != size {
				wantSays(t, ring, sealedBy(key, payload, cut), nil)
			}
		}
		for i := range payload {
			wantSays(t, ring, sealedBy(key, payload[:i], size), nil)
		}
		wantSays(t, ring, sealedBy(key, append(payload[:len(payload):len(payload)], 0), size), nil)
		for other := range 256 {
			if byte(other) == 1 || byte(other) == 2 {
				continue
			}
			changed := append([]byte{byte(other)}, payload[1:]...)
			for _, sum := range []int{0, 16, 32} {
				value := sealedBy(key, changed, sum)
				wantSays(t, ring, value, nil)
				n.wantVerify(t, value, false)
			}
		}
	}
	// A generation that no session has.
	payload := append([]byte{2}, make([]byte, 16)...)
	wantSays(t, ring, sealedBy(key, append(payload, 0x80, 0x80, 0x80, 0x80, 0x10, 0, 0), 16), nil)
	if reads := n.store.Count(storefault.Load); reads != 0 {
		t.Errorf("the store was asked %d times", reads)
	}
}

// A session goes on with its cookie of the long format, and gets one of the
// short format when it slides, also after the key was replaced.
//
// Proves S5, W1.
func TestASessionSlidesFromTheLongFormatToTheShort(t *testing.T) {
	clk := testkit.NewClock()
	c := goldenCookies[0]
	clk.Advance(c.says.Created.Sub(clk.Now()))
	app := testkit.NewApp(t, memstore.New(), &stay.Options{Clock: clk.Now, IdleTimeout: 24 * time.Hour})
	count := stay.Register(app, stay.Module[testkit.Counter]{Name: "c", Persist: stay.PerSession})
	b := testkit.NewBrowser(app)
	key := goldenKeys[0]
	b.Ring, b.Token = b.App.Keyring([][]byte{key}), c.long[0]
	id := stay.SessionFrom(b.Ctx()).ID()
	use := func(want int, issues bool) {
		t.Helper()
		ctx, r := b.Request()
		testkit.MustUpdate(t, ctx, count)
		testkit.WantCount(t, ctx, count, want)
		if (len(r.Issued) != 0) != issues {
			t.Errorf("issued: %q", r.Issued)
		}
		if got := stay.SessionFrom(b.Ctx()).ID(); got != id {
			t.Errorf("the session is %s, want %s", got, id)
		}
	}
	use(1, false)
	clk.Advance(2 * time.Hour)
	b.Ring = b.App.Keyring([][]byte{bytes.Repeat([]byte{9}, 32), key})
	use(2, false)
	clk.Advance(time.Hour)
	use(3, true)
	if len(b.Token) >= 64 {
		t.Errorf("the new cookie is %s", b.Token)
	}
	use(4, false)
	b.Token = c.long[0] // from an answer that came late
	use(5, true)
	clk.Advance(21 * time.Hour)
	use(6, true)
	b.Token = c.long[0]
	if got := stay.SessionFrom(b.Ctx()).ID(); got == id {
		t.Error("a cookie of the long format outlives what it says")
	}
}

// For every id, generation and times, a cookie says what was signed, has the
// characters of a cookie, and says nothing once a character is changed.
//
// Proves W1.
func FuzzSignedToken(f *testing.F) {
	for _, c := range goldenCookies {
		f.Add(c.says.ID[:], c.says.Gen, c.says.Created.Unix(), c.says.IdleEnd.Unix(), uint(20))
	}
	for _, at := range []time.Time{{}, noon(1969, 12, 31), noon(2106, 2, 8), noon(9999, 12, 31), time.Unix(math.MaxInt64, 0), time.Unix(math.MinInt64, 0)} {
		f.Add([]byte("0123456789abcdef"), uint32(128), at.Unix(), at.Add(30*day).Unix(), uint(60))
		f.Add([]byte("0123456789abcdef"), uint32(1), at.Unix(), noon(2026, 3, 1).Unix(), uint(0))
	}
	ring := fixedRing(f, goldenKeys[0])
	f.Fuzz(func(t *testing.T, id []byte, gen uint32, created, end int64, at uint) {
		var says access.Token
		copy(says.ID[:], id)
		says.Gen, says.Created, says.IdleEnd = gen, time.Unix(created, 0), time.Unix(end, 0)
		value, err := ring.Sign(background, &says)
		if err != nil || len(value) > 83 || strings.Trim(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Fatalf("%q, %v", value, err)
		}
		wantSays(t, ring, value, &says)
		wantSays(t, ring, value, &says) // from memory
		b := []byte(value)
		at %= uint(len(b))
		for _, c := range "AQgw5-_" {
			if b[at] = byte(c); string(b) != value {
				wantSays(t, ring, string(b), nil)
			}
		}
		wantSays(t, ring, value[:at], nil)
		wantSays(t, ring, value+strconv.Itoa(int(at)), nil)
	})
}
