package web_test

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// A Tray has what a form can hold.
type Tray struct {
	Tea   string     `json:"tea"`
	Tins  int        `json:"tins"`
	Price float64    `json:"price"`
	Gift  bool       `json:"gift"`
	Until *time.Time `json:"until"`
	Tags  []string   `json:"tags"`
	Cups  []struct {
		Name  string `json:"name"`
		Count int    `json:"count"`
	} `json:"cups"`
	Place *struct {
		City string `json:"city"`
	} `json:"place"`
}

// Validate says what is wrong with each field.
func (o Tray) Validate() error {
	if o.Tea == "coffee" {
		return errors.Join(stay.Invalid("tea", "is no tea"), stay.Invalid("", "not here"))
	}
	return nil
}

var trayPage = template.Must(template.New("").Parse(`<input name="tea" value="{{.Value "tea"}}"><b>{{.Error "tea"}}</b>` +
	`<input name="tins" value="{{.Value "tins"}}"><b>{{.Error "tins"}}</b>` +
	`<input type="checkbox" name="gift" {{if .Checked "gift" "on"}}checked{{end}}>` +
	`{{range $i, $cup := .Data.Cups}}{{$name := printf "cups[%d].count" $i}}<i>{{$name}}={{$.Value $name}} {{$.Error $name}}</i>{{end}}` +
	`<p>{{.Error ""}}</p>`))

// A form that is shown for the first time has the texts that it would be sent
// with, so sending it unchanged changes nothing.
func TestNewFormHasTheValuesOfData(t *testing.T) {
	at := time.Date(2026, 11, 28, 9, 30, 0, 0, time.FixedZone("", 3600))
	data := Tray{Tea: "mint", Tins: 3, Price: 1e6 + .25, Gift: true, Until: &at, Tags: []string{"a", "b"}}
	data.Cups = append(data.Cups, struct {
		Name  string `json:"name"`
		Count int    `json:"count"`
	}{"large", 2})
	form := web.NewForm(data)
	for name, want := range map[string][]string{
		"tea": {"mint"}, "tins": {"3"}, "price": {"1000000.25"}, "gift": {"true"}, "until": {"2026-11-28T08:30"}, "tags": {"a", "b"}, "tags[1]": {"b"},
		"cups[0].name": {"large"}, "cups[0].count": {"2"}, "cups[1].name": nil, "place.city": nil, "nobody": nil, "cups": {""}, "": nil,
	} {
		if got := form.Values(name); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, c := range []struct {
		name, value string
		want        bool
	}{{"gift", "on", true}, {"gift", "1", true}, {"gift", "no", false}, {"tags", "b", true}, {"tags", "c", false}, {"tea", "mint", true}, {"nobody", "", false}} {
		if got := form.Checked(c.name, c.value); got != c.want {
			t.Errorf("Checked %s %s: %t", c.name, c.value, got)
		}
	}
	if form.Value("tags") != "a" || form.Value("nobody") != "" || form.Error("tea") != "" || len(form.Errors()) != 0 {
		t.Errorf("%q, %q", form.Value("tags"), form.Errors())
	}
	if got := web.NewForm(Tray{Until: new(time.Time)}).Value("until"); got != "" {
		t.Errorf("no time is %q", got)
	}
	day := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	if got := web.NewForm(Tray{Until: &day}).Value("until"); got != "2026-11-28" {
		t.Errorf("a day is %q", got)
	}
}

// A form that was sent has its items by their place, its lists under their
// name, and unknown values as they were sent.
func TestReadFormHasWhatWasSent(t *testing.T) {
	h := web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		form, err := web.ReadForm[Tray](r)
		for name, want := range map[string]string{
			"cups[0].name": "a", "cups[1].name": "b", "cups[7].name": "", "cups[9].name": "", "tags": "x", "tags[]": "", "save[to]": "disk", "place.city": "Bath", "tea": "",
		} {
			if got := form.Value(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if len(form.Data.Cups) != 2 || form.Data.Place == nil {
			t.Errorf("%+v", form.Data)
		}
		return err
	})
	send(t, browser(h), "POST", "/", "cups[9].name=b&cups[7].name=a&cups[7].count=1&cups[9].count=2&tags[]=x&save[to]=disk&place.city=Bath", "Content-Type", formType).want(t, 200, "")
	empty := web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		form, err := web.ReadForm[Tray](r)
		if form.Checked("gift", "no") || form.Value("tins") != "" {
			t.Error("an empty form has values")
		}
		return err
	})
	send(t, browser(empty), "POST", "/", "", "Content-Type", formType).want(t, 200, "")
}

// trays serves a form that is shown again, in every kind of handler.
func (s *site) trays(t *testing.T, o *web.Options) map[string]http.Handler {
	show := func(form *web.Form[Tray]) func(http.ResponseWriter) error {
		return func(w http.ResponseWriter) error { return trayPage.Execute(w, form) }
	}
	state := stay.Register(s.app, stay.Module[Tray]{Name: "trays", Persist: stay.PerSession, Actions: stay.Actions[Tray]{
		"put": stay.WithPayload(func(_ *stay.Call, o *Tray, in Tray) error {
			*o = in
			if in.Tea == "gone" {
				return stay.Invalid("tea", "is sold out")
			}
			return nil
		}),
		"form": func(c *stay.Call, o *Tray) error {
			o.Tins = 77 // is rolled back
			var form web.Form[Tray]
			if err := c.Bind(&form); err != nil {
				return form.Again(err, show(&form))
			}
			*o = form.Data
			if o.Tea == "gone" {
				return form.Again(stay.Invalid("tea", "is sold out"), show(&form))
			}
			return nil
		},
	}})
	check := func(in Tray) error {
		if in.Tea == "gone" {
			return stay.Invalid("tea", "is sold out")
		}
		return nil
	}
	done := func(w http.ResponseWriter, _ *http.Request, o *Tray) error {
		_, err := fmt.Fprint(w, "stored ", o.Tea)
		return err
	}
	handle := func(w http.ResponseWriter, r *http.Request) error {
		form, err := web.ReadForm[Tray](r)
		fmt.Fprint(w, "half an answer")
		if err == nil {
			err = check(form.Data)
		}
		if err != nil {
			return form.Again(err, show(form))
		}
		return nil
	}
	handlers := map[string]http.Handler{
		"Handle": web.Handle(handle),
		"plain": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			form, err := web.ReadForm[Tray](r)
			if err == nil {
				err = check(form.Data)
			}
			web.Error(w, r, form.Again(err, show(form)))
		}),
		"State.Do": web.Handle(func(w http.ResponseWriter, r *http.Request) error {
			form, _ := web.ReadForm[Tray](r)
			o, err := state.Do(r.Context(), "put", form)
			if err != nil {
				return form.Again(err, show(form))
			}
			return done(w, r, o)
		}),
		"Do": web.Do(state, "form", done),
		"Update": web.Update(state, func(w http.ResponseWriter, r *http.Request, o *Tray) error {
			o.Tins = 77 // is rolled back
			form, err := web.ReadForm[Tray](r)
			if err == nil {
				*o = form.Data
				err = check(*o)
			}
			if err != nil {
				return form.Again(err, show(form))
			}
			return done(w, r, o)
		}),
	}
	for name, h := range handlers {
		mux := http.NewServeMux()
		mux.Handle("POST /", h)
		mux.Handle("GET /", web.View(state, func(w http.ResponseWriter, _ *http.Request, o *Tray) error {
			_, err := fmt.Fprint(w, o.Tea, o.Tins)
			return err
		}))
		handlers[name] = web.Sessions(s.app, o)(mux)
	}
	return handlers
}

// A form that was refused is shown again with what was typed, whether it fits
// or not, and with the errors of Stay, of Validate and of the action. The
// change is undone.
//
// Proves W5, W6.
func TestAFormIsShownAgain(t *testing.T) {
	s := newSite(t)
	o := &web.Options{Error: func(w http.ResponseWriter, _ *http.Request, status int, err error) {
		fmt.Fprintf(w, "own page %d", status)
	}}
	for kind, h := range s.trays(t, o) {
		for _, c := range []struct {
			body, contentType string
			want              []string
		}{
			{"tea=coffee&tins=many&gift=no&gift=yes&cups[7].name=a&cups[7].count=x", formType, []string{
				`value="coffee"><b>is no tea</b>`, `value="many"><b>must be a whole number</b>`, `checked`, "<i>cups[0].count=x must be a whole number</i>", "<p></p>",
			}},
			{"tea=coffee&tins=3", formType, []string{`value="coffee"><b>is no tea</b>`, `value="3"><b></b>`, `name="gift" >`, "<p>not here</p>"}},
			{"tea=gone&tins=3", formType, []string{`value="gone"><b>is sold out</b>`, `value="3"><b></b>`}},
			{`{"tea":"<b>","tins":"many","gift":true,"cups":[{"count":true}]}`, jsonType, []string{
				`value="&lt;b&gt;"><b></b>`, `value="many"><b>must be a whole number</b>`, "checked", "<i>cups[0].count=true must be a whole number</i>",
			}},
		} {
			client := browser(h)
			a := send(t, client, "POST", "/", c.body, "Content-Type", c.contentType)
			if a.status != 422 || a.header.Get("Content-Type") != "text/html; charset=utf-8" || strings.Contains(a.body, "half") {
				t.Errorf("%s, %s: %d %v %s", kind, c.body, a.status, a.header, a.body)
			}
			for _, want := range c.want {
				if !strings.Contains(a.body, want) {
					t.Errorf("%s, %s: %s, want %s", kind, c.body, a.body, want)
				}
			}
			send(t, client, "GET", "/", "").want(t, 200, "0")
		}
		// An error that no form can fix is like any other, and a form that fits
		// is carried out.
		send(t, browser(h), "POST", "/", "tins=%zz", "Content-Type", formType).want(t, 400, "own page 400")
		if a := send(t, browser(h), "POST", "/", "tea=mint&tins=1", "Content-Type", formType); a.status != 200 {
			t.Errorf("%s: %d %s", kind, a.status, a.body)
		}
	}
}

// If the page of a form fails, the answer is an error without it.
//
// Proves W6.
func TestAFormThatCannotBeShown(t *testing.T) {
	s := newSite(t)
	for name, show := range map[string]func(http.ResponseWriter) error{
		"error": func(w http.ResponseWriter) error {
			fmt.Fprint(w, "half")
			return errors.New("template: hunter2")
		},
		"too long": func(w http.ResponseWriter) error {
			_, _ = fmt.Fprint(w, strings.Repeat("x", 200))
			return nil
		},
	} {
		h := web.Sessions(s.app, &web.Options{MaxResponse: 100})(web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
			form, err := web.ReadForm[Tray](r)
			return form.Again(err, show)
		}))
		a := send(t, browser(h), "POST", "/", "tins=x", "Content-Type", formType)
		if a.want(t, 500, "Internal Server Error\n"); !strings.Contains(s.log.String(), "Form.Again failed") {
			t.Errorf("%s: %s", name, s.log)
		}
	}
}

// show has its own status and header if it sets them.
func TestAFormIsShownWithItsOwnStatus(t *testing.T) {
	s := newSite(t)
	h := web.Sessions(s.app, nil)(web.Handle(func(_ http.ResponseWriter, r *http.Request) error {
		form, err := web.ReadForm[Tray](r)
		return form.Again(err, func(w http.ResponseWriter) error {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusOK)
			_, err := fmt.Fprint(w, form.Errors())
			return err
		})
	}))
	a := send(t, browser(h), "POST", "/", "tins=x&price=", "Content-Type", formType)
	a.want(t, 200, "map[price:is required tins:must be a whole number]")
	if a.header.Get("Content-Type") != "text/plain" {
		t.Errorf("%v", a.header)
	}
}

// A form is a payload also without a request, as in tests.
func TestNewFormIsAPayload(t *testing.T) {
	s := newSite(t)
	s.trays(t, nil)
	type in struct{ By int }
	state := stay.Register(s.app, stay.Module[Counter]{Name: "other", Persist: stay.Global, Actions: stay.Actions[Counter]{
		"form": func(c *stay.Call, s *Counter) error {
			var form web.Form[in]
			err := c.Bind(&form)
			s.Count += form.Data.By
			return err
		},
		"typed": stay.WithPayload(func(_ *stay.Call, s *Counter, in in) error { s.Count += in.By; return nil }),
	}})
	for i, action := range []string{"form", "typed"} {
		c, err := state.Do(t.Context(), action, web.NewForm(in{By: 2}))
		if err != nil || c.Count != 2*(i+1) {
			t.Errorf("%s: %+v, %v", action, c, err)
		}
	}
}

// A form that is only declared is one of the zero value, in an action that was
// called without a payload too. Go code calls such an action with a form.
func TestTheZeroFormIsOneOfTheZeroValue(t *testing.T) {
	var zero web.Form[Step]
	var bound Step
	if zero.Value("by") != "0" || zero.Checked("by", "1") || zero.Error("by") != "" || len(zero.Errors()) != 0 || zero.Bind(&bound) != nil {
		t.Errorf("%q %v", zero.Value("by"), zero.Errors())
	}
	var shown web.Form[Tray]
	if shown.Checked("gift", "on") || shown.Value("tea") != "" || stay.CodeOf(shown.Again(stay.Invalid("tea", "is missing"), nil)) != stay.ErrInvalid || shown.Error("tea") != "is missing" {
		t.Errorf("%q", shown.Errors())
	}
	s := newSite(t)
	got := ""
	list := stay.Register(s.app, stay.Module[Counter]{Name: "list", Persist: stay.Global, Actions: stay.Actions[Counter]{
		"add": func(c *stay.Call, _ *Counter) error {
			var form web.Form[Step]
			if err := c.Bind(&form); err != nil {
				return err
			}
			got = form.Value("by")
			return nil
		},
	}})
	for want, payload := range map[string]any{"0": nil, "2": web.NewForm(Step{By: 2})} {
		if _, err := list.Do(t.Context(), "add", payload); err != nil || got != want {
			t.Errorf("with %v: %q, %v", payload, got, err)
		}
	}
}
