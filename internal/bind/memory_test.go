package bind_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/bind"
)

type wide struct {
	A, B, C, D, E, F, G, H string
	I, J, K, L, M, N, O, P *int
}

type huge struct {
	Room [1 << 16]byte
	Next *huge `json:"n"`
	V    string
}

type node struct {
	Kids []node `json:"k"`
}

// repeat returns JSON of about the length large: item again and again, in which %d is
// the number of the item.
func repeat(open, item, end string) string {
	var b strings.Builder
	b.WriteString(open)
	for i := 0; b.Len() < large-40; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strings.ReplaceAll(item, "%d", fmt.Sprint(i)))
	}
	b.WriteString(end)
	return b.String()
}

// allocated returns the bytes that fn allocates.
func allocated(fn func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

// To bind a payload takes a bounded multiple of its length, with any content.
// The test counts all allocations, also short-lived ones.
func TestMemoryIsBounded(t *testing.T) {
	const megabyte = 1 << 20
	// The limit, and a quarter more for what the limit does not count: texts,
	// and the rounding of allocations.
	const most = min(megabyte+64*large, 16*megabyte)*5/4 + 2*large
	deep := strings.Repeat("[", 900) + strings.Repeat("]", 900)
	for name, c := range map[string]struct {
		json string
		dst  any
	}{
		"objects for structs":         {repeat("[", "{}", "]"), new([]wide)},
		"objects for huge structs":    {repeat("[", "{}", "]"), new([]huge)},
		"objects for small structs":   {repeat("[", "{}", "]"), new([]struct{ A int })},
		"objects for pointers":        {repeat("[", "{}", "]"), new([]*wide)},
		"objects for arrays":          {repeat("[", "[]", "]"), new([][100]wide)},
		"objects for maps":            {repeat("[", "{}", "]"), new([]map[string]int)},
		"objects for any":             {repeat("[", "{}", "]"), new(any)},
		"lists for any":               {repeat("[", "[]", "]"), new(any)},
		"lists for lists":             {repeat("[", "[]", "]"), new([][]wide)},
		"lists of one for lists":      {repeat("[", "[{}]", "]"), new([][]wide)},
		"lists of few for lists":      {repeat("[", "[1,2,3,4,5,6,7,8,9]", "]"), new([][]int)},
		"lists of many for lists":     {repeat("[", "["+strings.Repeat("1,", 20)+"1]", "]"), new([][]int)},
		"lists of one for any":        {repeat("[", "[1]", "]"), new(any)},
		"nested lists for any":        {repeat("[", deep, "]"), new(any)},
		"nested lists for structs":    {strings.Repeat(`{"k":[`, 400) + repeat("", "{}", "") + strings.Repeat("]}", 400), new(node)},
		"trees":                       {repeat(`{"k":[`, `{"k":[{},{}]}`, "]}"), new(node)},
		"numbers for any":             {repeat("[", "1", "]"), new(any)},
		"numbers for numbers":         {repeat("[", "1", "]"), new([]int)},
		"numbers for json.Number":     {repeat("[", `"1"`, "]"), new([]json.Number)},
		"numbers for pointers":        {repeat("[", "1", "]"), new([]*int)},
		"truths for booleans":         {repeat("[", "true", "]"), new([]bool)},
		"nulls for structs":           {repeat("[", "null", "]"), new([]wide)},
		"nulls for any":               {repeat("[", "null", "]"), new(any)},
		"texts for any":               {repeat("[", `""`, "]"), new(any)},
		"texts for texts":             {repeat("[", `"ab"`, "]"), new([]string)},
		"escapes for texts":           {repeat("[", `"\n"`, "]"), new([]string)},
		"broken text":                 {`"` + strings.Repeat("\xff", large-2) + `"`, new(string)},
		"texts for bytes":             {repeat("[", `"AA=="`, "]"), new([][]byte)},
		"texts for levels":            {repeat("[", `"low"`, "]"), new([]level)},
		"times":                       {repeat("[", `"2026-11-01T00:00:00Z"`, "]"), new([]time.Time)},
		"raw":                         {repeat("[", `1`, "]"), new([]json.RawMessage)},
		"one key for any":             {repeat("[", `{"a":1}`, "]"), new(any)},
		"one key for maps":            {repeat("[", `{"a":1}`, "]"), new([]map[string]int)},
		"one key for wide maps":       {repeat("[", `{"a":{}}`, "]"), new([]map[string]wide)},
		"one key for huge maps":       {repeat("[", `{"a":{}}`, "]"), new([]map[string]huge)},
		"nine keys for any":           {repeat("[", `{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1}`, "]"), new(any)},
		"many keys for any":           {repeat("{", `"%d":1`, "}"), new(any)},
		"many keys for a map":         {repeat("{", `"%d":1`, "}"), new(map[string]int)},
		"many keys for structs":       {repeat("{", `"%d":{}`, "}"), new(map[int]wide)},
		"one key again and again":     {repeat("{", `"a":{}`, "}"), new(map[string]wide)},
		"one key again, for any":      {repeat("{", `"a":1`, "}"), new(any)},
		"objects within huge structs": {strings.Repeat(`{"n":`, 900) + "{}" + strings.Repeat("}", 900), new(huge)},
		"a wrong item at the end":     {repeat("[", "{}", `,7]`), new([]struct{ A int })},
		"an unknown name":             {`{"` + strings.Repeat("x", large-10) + `":1}`, new(wide)},
		"unknown names for any":       {repeat("{", `"%d":{}`, "}"), new(wide)},
	} {
		t.Run(name, func(t *testing.T) {
			data := []byte(c.json)
			if !json.Valid(data) || len(data) > large+4096 {
				t.Fatalf("%d bytes of JSON, valid: %v", len(data), json.Valid(data))
			}
			before := reflect.ValueOf(c.dst).Elem().Interface()
			var err error
			got := allocated(func() { err = binder.JSON(data, c.dst, nil) })
			t.Logf("%.1f MB, %v", float64(got)/megabyte, err)
			if got > most {
				t.Errorf("%d MB were allocated for %d KB", got>>20, len(data)>>10)
			}
			if err != nil && !reflect.DeepEqual(reflect.ValueOf(c.dst).Elem().Interface(), before) {
				t.Error("a refused payload was bound")
			}
		})
	}
}

// A short payload takes less: many of them are needed to take much.
func TestMemoryOfShortPayloads(t *testing.T) {
	for size, most := range map[int]int{30 << 10: 4 << 20, 100 << 10: 9 << 20} {
		data := []byte("[" + strings.Repeat("{},", size/3) + "{}]")
		var err error
		got := allocated(func() { err = binder.JSON(data, new([]wide), nil) })
		if got > most {
			t.Errorf("%d MB were allocated for %d KB: %v", got>>20, len(data)>>10, err)
		}
	}
}

// What is usual is not refused, however dense it is.
func TestUsualPayloadsFit(t *testing.T) {
	for name, c := range map[string]struct {
		json string
		dst  any
	}{
		"points":             {repeat("[", `{"x":1,"y":2}`, "]"), new([]struct{ X, Y int })},
		"points for any":     {"[" + strings.Repeat(`{"x":1,"y":2},`, 30_000) + "{}]", new(any)},
		"a grid":             {repeat("[", "["+strings.Repeat("0,", 99)+"1]", "]"), new([][]int)},
		"a grid for any":     {repeat("[", "["+strings.Repeat("0,", 99)+"1]", "]"), new(any)},
		"rows":               {repeat("[", `{"A":"text of %d","B":"more","C":"and more text"}`, "]"), new([]wide)},
		"a few large values": {"[{},{},{}]", new([]huge)},
		"text":               {`"` + strings.Repeat("x", 17<<20) + `"`, new(string)},
		"texts by key":       {repeat("{", `"key %d":"value"`, "}"), new(map[string]string)},
	} {
		data := []byte(strings.NewReplacer(`"x":`, `"X":`, `"y":`, `"Y":`).Replace(c.json))
		if err := binder.JSON(data, c.dst, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func tooLarge(err error) bool {
	var be *bind.Error
	return errors.As(err, &be) && be.TooLarge && !be.Malformed && be.Field == ""
}

// A payload that takes too much memory has its own error, and binds nothing.
func TestPayloadsThatAreTooLarge(t *testing.T) {
	var into []wide
	if err := binder.JSON([]byte("["+strings.Repeat("{},", 300_000)+"{}]"), &into, nil); !tooLarge(err) || into != nil {
		t.Errorf("%d structs: %v", len(into), err)
	}
	var deep any
	for depth, fits := range map[int]bool{1000: true, 1001: false} {
		err := binder.JSON([]byte(strings.Repeat("[", depth)+strings.Repeat("]", depth)), &deep, nil)
		if (err == nil) != fits {
			t.Errorf("%d levels: %v", depth, err)
		}
		var be *bind.Error
		if !fits && (!errors.As(err, &be) || !be.Malformed) {
			t.Errorf("%d levels: %v", depth, err)
		}
	}
	// A type that reads itself is given nothing deeper either.
	if err := binder.JSON([]byte(strings.Repeat("[", 1001)+strings.Repeat("]", 1001)), new(json.RawMessage), nil); err == nil {
		t.Error("1001 levels were bound to a type that reads itself")
	}
}

// A form may have so many values, by one name or by many.
func TestFormsAreBounded(t *testing.T) {
	for _, c := range []struct {
		dst   any
		name  func(i int) string
		count int
		fits  bool
	}{
		{new(payload), func(int) string { return "tags" }, bind.MaxValues, true},
		{new(payload), func(int) string { return "tags" }, bind.MaxValues + 1, false},
		{new(map[string]string), func(i int) string { return fmt.Sprint("n", i) }, bind.MaxValues, true},
		{new(map[string]string), func(i int) string { return fmt.Sprint("n", i) }, bind.MaxValues + 1, false},
		{new(map[string]huge), func(i int) string { return fmt.Sprint("n", i) }, 1000, false},
		{new(huge), func(i int) string { return strings.Repeat("n.", i%99) + "V" }, 99, false},
	} {
		var text strings.Builder
		values := url.Values{}
		for i := range c.count {
			values.Add(c.name(i), "1")
			text.WriteString("&" + c.name(i) + "=1")
		}
		var err error
		got := allocated(func() { err = binder.Form(values, c.dst, nil) })
		if (err == nil) != c.fits || got > 4<<20 {
			t.Errorf("%d values for a %T: %v, %d MB", c.count, c.dst, err, got>>20)
		}
		var parsed url.Values
		got = allocated(func() { parsed, err = bind.ParseForm([]byte(text.String()[1:])) })
		if c.count > bind.MaxValues {
			if !tooLarge(err) || got > 1<<20 {
				t.Errorf("%d values were parsed: %v", c.count, err)
			}
		} else if err != nil || !reflect.DeepEqual(parsed, values) {
			t.Errorf("%d values: %v", c.count, err)
		}
	}
	if err := binder.Form(url.Values{"n.n.n.V": {"1"}}, new(huge), nil); err != nil {
		t.Error(err)
	}
}
