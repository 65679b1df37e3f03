package workerd_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stay-go/stay/internal/need"
	"github.com/stay-go/stay/internal/workerd"
)

// counting is a Worker with one object that counts.
var counting = workerd.Worker{
	Class: "Counter", Binding: "COUNTER", Texts: map[string]string{"WORD": "is"},
	Modules: map[string]string{"main.js": `
import { DurableObject } from "cloudflare:workers";
import { word } from "word.js";
export class Counter extends DurableObject {
  next() {
    const n = (this.ctx.storage.kv.get("n") ?? 0) + 1;
    this.ctx.storage.kv.put("n", n);
    return n;
  }
}
export default {
  async fetch(request, env) { return new Response(word + " " + env.WORD + " " + await env.COUNTER.getByName("one").next()); },
};`, "word.js": `export const word = "it";`},
}

// What an object has stored is there after an end in good order, and after a crash.
func TestAServerStartsAgain(t *testing.T) {
	s, err := workerd.New(t.TempDir(), counting)
	need.NoError(t, err, workerd.ErrMissing)
	t.Cleanup(s.Kill)
	url := s.URL()
	for n, end := range []func(){s.Stop, s.Kill, s.Stop} {
		if text, err := get(t, url); err != nil || text != fmt.Sprint("it is ", n+1) {
			t.Fatalf("%q, %v", text, err)
		}
		end()
		if _, err := get(t, url); err == nil {
			t.Error("a server that has ended answers")
		}
		if err := s.Start(counting); err != nil {
			t.Fatal(err)
		}
	}
	if s.URL() != url {
		t.Errorf("it was at %s, and is at %s", url, s.URL())
	}
}

// A Worker that cannot run is an error that says why.
func TestABadWorkerIsAnError(t *testing.T) {
	bad := counting
	bad.Modules = map[string]string{"main.js": "export default {"}
	_, err := workerd.New(t.TempDir(), bad)
	if errors.Is(err, workerd.ErrMissing) {
		need.Missing(t, err)
	}
	if err == nil {
		t.Error("it runs")
	}
}

func get(t *testing.T, url string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}
