package bind_test

import (
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/bind"
)

type part struct {
	Name  string   `json:"name"`
	Count int      `json:"count"`
	Tags  []string `json:"tags"`
	Price int      `json:"price" stay:"private"`
}

type sheet struct {
	On    bool       `json:"on"`
	Maybe *bool      `json:"maybe"`
	When  time.Time  `json:"when"`
	Until *time.Time `json:"until"`
	Since time.Time  `json:"since,omitzero"`
	Limit int        `json:"limit,omitempty"`
	Tags  []string   `json:"tags"`
	Nums  []int      `json:"nums"`
	Parts []part     `json:"parts"`
	More  []*part    `json:"more"`
	Place struct {
		City   string   `json:"city"`
		Lines  []string `json:"lines"`
		Secret string   `json:"secret" stay:"private"`
	} `json:"place"`
	By  map[string]int `json:"by"`
	Who string         `json:"who" stay:"key"`
}

func bound(t *testing.T, query string) sheet {
	t.Helper()
	var s sheet
	if err := binder.Form(form(t, query), &s, nil); err != nil {
		t.Errorf("%s: %v", query, err)
	}
	return s
}

// A checkbox with a hidden companion sends both values, and the last one counts.
func TestTheLastValueOfABooleanCounts(t *testing.T) {
	for query, want := range map[string]bool{
		"on=false&on=true": true, "on=0&on=1": true, "on=no&on=yes": true, "on=off&on=on": true, "on=&on=on": true,
		"on=false": false, "on=no": false, "on=off": false, "on=true&on=false": false,
	} {
		if s := bound(t, query+"&maybe=no&maybe=yes"); s.On != want || s.Maybe == nil || !*s.Maybe {
			t.Errorf("%s: %t", query, s.On)
		}
	}
}

// A time has the forms that the inputs of HTML send, in UTC; in JSON too, where
// scripts send what an input has.
func TestTimesHaveTheFormsOfInputs(t *testing.T) {
	for text, want := range map[string]time.Time{
		"2026-11-28":                time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC),
		"2026-11-28T10:30":          time.Date(2026, 11, 28, 10, 30, 0, 0, time.UTC),
		"2026-11-28T10:30:15":       time.Date(2026, 11, 28, 10, 30, 15, 0, time.UTC),
		"2026-11-28T10:30:15.5":     time.Date(2026, 11, 28, 10, 30, 15, 5e8, time.UTC),
		"2026-11-28T10:30:15Z":      time.Date(2026, 11, 28, 10, 30, 15, 0, time.UTC),
		"2026-11-28T10:30:15+01:00": time.Date(2026, 11, 28, 9, 30, 15, 0, time.UTC),
	} {
		s := bound(t, url.Values{"when": {text}, "until": {text}}.Encode())
		var j sheet
		if err := binder.JSON([]byte(`{"when":"`+text+`","until":"`+text+`"}`), &j, nil); err != nil {
			t.Fatal(err)
		}
		for _, got := range []time.Time{s.When, *s.Until, j.When, *j.Until} {
			if !got.Equal(want) {
				t.Errorf("%s: %v", text, got)
			}
		}
	}
}

// An empty value makes an optional field absent. It is no item in a list of
// numbers, and does not fit a field that needs a value.
func TestEmptyValuesOfWhatMayBeAbsent(t *testing.T) {
	now, yes := time.Now(), true
	s := sheet{Until: &now, Since: now, Limit: 3, Maybe: &yes, Nums: []int{1}}
	if err := binder.Form(form(t, "until=&since=&limit=&maybe=&nums=&nums=2"), &s, nil); err != nil {
		t.Fatal(err)
	}
	if s.Until != nil || !s.Since.IsZero() || s.Limit != 0 || s.Maybe != nil || !reflect.DeepEqual(s.Nums, []int{2}) {
		t.Errorf("%+v", s)
	}
	s.Until, s.Since = &now, now
	if err := binder.JSON([]byte(`{"until":"","since":""}`), &s, nil); err != nil || s.Until != nil || !s.Since.IsZero() {
		t.Errorf("%+v, %v", s, err)
	}
	for _, body := range []string{`{"when":""}`, `{"limit":""}`} {
		if err := binder.JSON([]byte(body), &s, nil); err == nil {
			t.Errorf("%s was bound", body)
		}
	}
}

// Lists of values come with or without brackets, or with numbers, and lists of
// structs with numbers, of which only the order counts.
func TestListsInForms(t *testing.T) {
	for query, want := range map[string]sheet{
		"tags=a&tags=b":                         {Tags: []string{"a", "b"}},
		"tags[]=a&tags[]=b":                     {Tags: []string{"a", "b"}},
		"tags=a&tags[]=b":                       {Tags: []string{"a", "b"}},
		"tags[1]=b&tags[0]=a":                   {Tags: []string{"a", "b"}},
		"nums[]=1":                              {Nums: []int{1}},
		"parts[0].name=a&parts[0].count=2":      {Parts: []part{{Name: "a", Count: 2}}},
		"parts[10].name=b&parts[9].name=a":      {Parts: []part{{Name: "a"}, {Name: "b"}}},
		"parts[999999999].tags[]=x":             {Parts: []part{{Tags: []string{"x"}}}},
		"parts[3].tags[7]=y&parts[3].tags[2]=x": {Parts: []part{{Tags: []string{"x", "y"}}}},
		"more[1].name=b&more[0].name=a":         {More: []*part{{Name: "a"}, {Name: "b"}}},
		"parts[0].name=a&parts[1]._destroy=1":   {Parts: []part{{Name: "a"}}},
	} {
		got := sheet{Tags: []string{"before"}}
		if want.Tags == nil {
			want.Tags = got.Tags
		}
		ignore := func(name string) bool { return name == "parts[1]._destroy" }
		if err := binder.Form(form(t, query), &got, ignore); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", query, got, err)
		}
	}
}

// A name in the notation of another library does not count as unknown: the
// error says how to write it, even if all names are ignored. Fields that only
// the program may set are refused, too.
//
// Proves W7.
func TestNamesInOtherNotations(t *testing.T) {
	for name, want := range map[string]string{
		"parts[0][name]":    "must be written as parts[0].name",
		"parts.0.name":      "must be written as parts[0].name",
		"parts[][name]":     "must be written as parts[0].name",
		"parts[].name":      "must be written as parts[0].name",
		"parts.name":        "must be written as parts[0].name",
		"parts[00].name":    "must be written as parts[0].name",
		"parts[0].tags.1":   "must be written as parts[0].tags[1]",
		"place[city]":       "must be written as place.city",
		"place[lines][]":    "must be written as place.lines",
		"limit[]":           "must be written as limit",
		"parts":             "must be sent as JSON",
		"parts[0]":          "must be sent as JSON",
		"by.ann":            "must be sent as JSON",
		"by[ann]":           "must be sent as JSON",
		"who":               "is not a field",
		"who.id":            "is not a field",
		"who[id]":           "is not a field",
		"parts[0].price":    "is not a field",
		"parts[0][price]":   "is not a field",
		"place.secret":      "is not a field",
		"place[secret]":     "is not a field",
		"tags[0]=a&tags":    "is sent both as a whole and in numbered parts",
		"more[0].tags[][x]": "",
		"nobody[0]":         "",
	} {
		got := sheet{}
		err := binder.Form(form(t, name+"=1"), &got, func(string) bool { return true })
		var e *bind.Error
		if errors.As(err, &e) != (want != "") || want != "" && (e.Misfit || !strings.HasPrefix(e.Message, want)) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
		if !reflect.DeepEqual(got, sheet{}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Every value that does not fit is reported, by its place. The values that fit
// are there to be shown again, and are not bound.
//
// Proves W7.
func TestAllMisfitsAreReported(t *testing.T) {
	before := sheet{Limit: 7, Tags: []string{"before"}}
	for name, bindTo := range map[string]func(*sheet) error{
		"form": func(s *sheet) error {
			return binder.Form(form(t, "when=&limit=x&tags=a&nums=1&nums=y&parts[4].name=n&parts[4].count=z&place.city=c"), s, nil)
		},
		"json": func(s *sheet) error {
			return binder.JSON([]byte(`{"when":"","limit":"x","tags":["a"],"nums":[1,"y"],"parts":[{"count":"z","name":"n"}],"place":{"city":"c"}}`), s, nil)
		},
	} {
		got := before
		err := bindTo(&got)
		var all *bind.Errors
		if !errors.As(err, &all) {
			t.Fatalf("%s: %v", name, err)
		}
		fields := map[string]string{}
		for _, e := range all.List {
			fields[e.Field] = e.Key
		}
		when, nums := "required", "nums"
		if name == "json" {
			when, nums = "date", "nums[1]"
		}
		want := map[string]string{"when": when, "limit": "whole_number", nums: "whole_number", "parts[0].count": "whole_number"}
		if !reflect.DeepEqual(fields, want) {
			t.Errorf("%s: %v", name, fields)
		}
		if !reflect.DeepEqual(got, before) {
			t.Errorf("%s: bound by halves: %+v", name, got)
		}
		fits := sheet{Tags: []string{"a"}, Parts: []part{{Name: "n"}}}
		fits.Place.City = "c"
		if p := all.Partial.(*sheet); !reflect.DeepEqual(*p, fits) {
			t.Errorf("%s: what fits is %+v", name, p)
		}
	}
}

// The number of errors of one payload is bounded.
func TestTheNumberOfMisfitsIsBounded(t *testing.T) {
	var all *bind.Errors
	body := `{"parts":[` + strings.Repeat(`{"count":""},`, 5000) + `{}]}`
	if err := binder.JSON([]byte(body), new(sheet), nil); !errors.As(err, &all) || len(all.List) != 100 {
		t.Errorf("%.200v", err)
	}
}

// Names to be ignored are written as in errors.
func TestIgnoredNames(t *testing.T) {
	var names []string
	note := func(name string) bool { names = append(names, name); return true }
	var s sheet
	if err := binder.JSON([]byte(`{"a":1,"place":{"b":[{}]},"parts":[{},{"c":"x","name":"n"}],"limit":3}`), &s, note); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "place.b", "parts[1].c"}; !reflect.DeepEqual(names, want) || s.Limit != 3 || s.Parts[1].Name != "n" {
		t.Errorf("%q, %+v", names, s)
	}
	names = nil
	if err := binder.Form(form(t, "a=1&place.b=2&parts[1].c=3&_csrf=x&csrf_token=y&go.x=4&x=5&limit=3"), &s, note); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "parts[1].c", "place.b"}; !reflect.DeepEqual(names, want) {
		t.Errorf("%q", names)
	}
	for _, body := range []string{`{"who":"x"}`, `{"place":{"secret":"x"}}`, `{"parts":[{"price":1}]}`} {
		if err := binder.JSON([]byte(body), &s, note); err == nil {
			t.Errorf("%s was bound", body)
		}
	}
}
