package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/examples/internal/exampletest"
	"github.com/stay-go/stay/staytest"
)

// A stream brings the list of its browser as JSON, after each change.
func TestStreamBringsTheList(t *testing.T) {
	handler := newHandler(staytest.App(t, nil))
	v, other := exampletest.Visit(t, handler), exampletest.Visit(t, handler)
	v.Send("GET", "/", nil)
	stream := v.Stream("/state/")
	if got := stream.Message("list"); got != `{"items":[]}` {
		t.Errorf("the list is %s", got)
	}
	if resp, body := v.SendSignals("POST", "/state/list/add", `{"item":" tea "}`); resp.StatusCode != http.StatusOK {
		t.Errorf("add: %d %s", resp.StatusCode, body)
	}
	if got := stream.Message("list"); got != `{"items":[{"name":"tea","count":1}]}` {
		t.Errorf("the list is %s", got)
	}
	if _, body := other.Send("GET", "/state/list", nil); body != `{"items":[]}` {
		t.Errorf("another browser has %s", body)
	}
}

// An action that is sent again under its name, because nobody knows whether it
// arrived, counts once.
//
// Proves L27, L29.
func TestActionsThatAreSentAgainCountOnce(t *testing.T) {
	v := exampletest.Visit(t, newHandler(staytest.App(t, nil)))
	v.Send("GET", "/", nil)
	for _, id := range []string{"0b41", "0b41", "7c02", "0b41"} {
		if resp, body := v.Send("POST", "/state/list/add", url.Values{"item": {"tea"}}, "Idempotency-Key", "spa-test-"+id+"-0123456789abcdef"); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", id, resp.StatusCode, body)
		}
	}
	if _, body := v.Send("GET", "/state/list", nil); body != `{"items":[{"name":"tea","count":2}]}` {
		t.Errorf("the browser has %s", body)
	}
}

// What does not fit is refused, with the field that the page shows.
func TestRefusals(t *testing.T) {
	var l List
	for range maxItems {
		if err := add(nil, &l, Add{strings.Repeat("x", 1+len(l.Items)%maxName)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"", " ", strings.Repeat("x", maxName+1)} {
		if err := add(nil, &l, Add{name}); stay.CodeOf(err) != stay.ErrInvalid {
			t.Errorf("%q: %v", name, err)
		}
	}
	recorder := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/state/list/add", strings.NewReader(`{"item":""}`))
	r.Header.Set("Content-Type", "application/json")
	newHandler(staytest.App(t, nil)).ServeHTTP(recorder, r)
	if recorder.Code != http.StatusUnprocessableEntity || !strings.Contains(recorder.Body.String(), `"fields":{"item":"Please write`) {
		t.Errorf("%d %s", recorder.Code, recorder.Body)
	}
}
