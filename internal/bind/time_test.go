package bind_test

import (
	"net/url"
	"testing"
	"time"
	_ "time/tzdata"
)

// Times that are bound do not get the zone of this machine, whose rules would
// make results differ between machines.
//
// Proves M5.
func TestTimesHaveTheZoneTheyWereSentWith(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	was := time.Local
	defer func() { time.Local = was }()
	time.Local = berlin
	type times struct {
		At   time.Time
		P    *time.Time
		Keys map[time.Time]int
	}
	const text = "2026-03-28T12:00:00+01:00" // the day before summer time
	var fromJSON, fromForm times
	if err := binder.JSON([]byte(`{"At":"`+text+`","P":"`+text+`","Keys":{"`+text+`":1}}`), &fromJSON, nil); err != nil {
		t.Fatal(err)
	}
	if err := binder.Form(url.Values{"At": {text}, "P": {text}}, &fromForm, nil); err != nil {
		t.Fatal(err)
	}
	all := []time.Time{fromJSON.At, *fromJSON.P, fromForm.At, *fromForm.P}
	for at := range fromJSON.Keys {
		all = append(all, at)
	}
	for i, at := range all {
		if next := at.AddDate(0, 0, 1); next.Sub(at) != 24*time.Hour || at != all[0] {
			t.Errorf("%d: %v, and a day later %v", i, at, next)
		}
	}
}
