package values_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

// A field that got a json tag after it was stored without one is not read: the
// log says so once, with both names, the stored value stays, and records that
// have the field under its name cause no warning.
//
// Proves M2.
func TestTagsThatWereAddedLaterAreTold(t *testing.T) {
	type plainItem struct{ Title string }
	type plain struct {
		Count     int
		CreatedAt string
		Items     []plainItem
		Same      int
		Other     int
	}
	type taggedItem struct {
		Title string `json:"title"`
	}
	type tagged struct {
		Count     int          `json:"n"`
		CreatedAt string       `json:"created_at"`
		Items     []taggedItem `json:"Items"`
		Same      int
	}
	st := unclosed{memstore.New()}
	app := stay.New(st, nil)
	old := stay.Register(app, stay.Module[plain]{Name: "m", Persist: stay.PerUser})
	for _, user := range []string{"ann", "bob"} {
		if _, err := old.At(user).Update(t.Context(), func(p *plain) error {
			*p = plain{1, "now", []plainItem{{"a"}, {"b"}}, 2, 3}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	closeApp := func() {
		t.Helper()
		if err := app.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	closeApp()

	var log bytes.Buffer
	begin := func() *stay.State[tagged] {
		log.Reset()
		app = stay.New(st, &stay.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		return stay.Register(app, stay.Module[tagged]{Name: "m", Persist: stay.PerUser})
	}
	s := begin()
	if got := get(t, t.Context(), s.At("ann")); got.Count != 0 || got.Same != 2 {
		t.Errorf("read %+v", got)
	}
	if _, err := s.At("bob").Update(t.Context(), func(s *tagged) error {
		s.Count, s.CreatedAt, s.Items = 5, "later", nil
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	closeApp()
	for _, want := range []string{
		"module=m stored=Count field=tagged.Count name=n",
		"module=m stored=CreatedAt field=tagged.CreatedAt name=created_at",
		"module=m stored=Title field=taggedItem.Title name=title",
	} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("want once: %s", want)
		}
	}
	if n := strings.Count(log.String(), "not read"); n != 3 {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}

	s = begin()
	get(t, t.Context(), s.At("bob"))
	if log.Len() > 0 {
		t.Errorf("of a record with the new names: %s", log.String())
	}
	if _, err := s.At("cy").Update(t.Context(), func(s *tagged) error { s.Count = 7; return nil }); err != nil {
		t.Fatal(err)
	}
	closeApp()

	log.Reset()
	app = stay.New(st, &stay.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	old = stay.Register(app, stay.Module[plain]{Name: "m", Persist: stay.PerUser})
	if back := get(t, t.Context(), old.At("bob")); back.Count != 1 || back.Other != 3 || log.Len() > 0 {
		t.Errorf("the program of before reads %+v, and says %s", back, log.String())
	}
	get(t, t.Context(), old.At("cy"))
	closeApp()
	if want := "module=m stored=created_at field=plain.CreatedAt name=CreatedAt"; strings.Count(log.String(), want) != 1 || strings.Count(log.String(), "not read") != 1 {
		t.Errorf("want once %s, of a tag that is gone: %s", want, log.String())
	}
}
