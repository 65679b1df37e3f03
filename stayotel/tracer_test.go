package stayotel_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/stayotel"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/web"
)

// tracedApp returns an App whose spans go to the exporter.
func tracedApp(t *testing.T, options ...sdktrace.TracerProviderOption) (*stay.App, *sdktrace.TracerProvider, *tracetest.InMemoryExporter) {
	t.Helper()
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(append(options, sdktrace.WithSyncer(exporter))...)
	app := stay.New(memstore.New(), &stay.Options{Tracer: stayotel.Tracer(provider), OnError: func(*stay.Call, *stay.Error) {}})
	t.Cleanup(func() {
		if err := app.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return app, provider, exporter
}

func attributesOf(span tracetest.SpanStub) map[string]string {
	all := map[string]string{}
	for _, a := range span.Attributes {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

// A span has the change's module and action, how it ended, and nothing of what
// users have entered.
func TestSpans(t *testing.T) {
	app, _, exporter := tracedApp(t)
	s := stay.Register(app, stay.Module[counter]{
		Name: "c", Persist: stay.Global,
		Actions: stay.Actions[counter]{
			"add":  func(_ *stay.Call, c *counter) error { c.Count++; return nil },
			"no":   func(*stay.Call, *counter) error { return stay.Invalid("card", "4711 is no card") },
			"bang": func(*stay.Call, *counter) error { panic("4711") },
		},
	})
	for _, action := range []string{"add", "no", "bang"} {
		func() {
			defer func() { _ = recover() }()
			_, _ = s.Do(t.Context(), action, nil)
		}()
	}
	if _, err := s.Update(t.Context(), func(*counter) error { return nil }); err != nil {
		t.Fatal(err)
	}
	spans := exporter.GetSpans()
	want := []struct{ name, outcome, action, batch string }{
		{"c.add", "ok", "add", "1"}, {"c.no", "invalid", "no", ""}, {"c.bang", "internal", "bang", ""}, {"c", "ok", "", ""},
	}
	if len(spans) != len(want) {
		t.Fatalf("%d spans, want %d", len(spans), len(want))
	}
	for i, w := range want {
		span, a := spans[i], attributesOf(spans[i])
		status, code := codes.Unset, ""
		if w.outcome != "ok" {
			status, code = codes.Error, w.outcome
		}
		if span.Name != w.name || span.Status.Code != status || span.Status.Description != code || a["error.type"] != code ||
			a["stay.module"] != "c" || a["stay.action"] != w.action || a["stay.outcome"] != w.outcome || a["stay.batch"] != w.batch ||
			a["stay.runs"] != "1" || a["stay.wait"] == "" {
			t.Errorf("span %q with status %v has %v, want %+v", span.Name, span.Status, a, w)
		}
		if text := fmt.Sprintf("%+v", span); strings.Contains(text, "4711") {
			t.Errorf("the span tells what a user has entered: %s", text)
		}
	}
}

// A change that fails because its caller has left is no failed span, as it
// counts as canceled among the measurements.
func TestSpanOfACallerWhoHasLeft(t *testing.T) {
	app, _, exporter := tracedApp(t)
	s := stay.Register(app, stay.Module[counter]{Name: "c", Persist: stay.Global})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Update(ctx, func(*counter) error { return nil }); !errors.Is(err, stay.ErrBusy) {
		t.Errorf("error %v", err)
	}
	spans := exporter.GetSpans()
	if len(spans) != 1 {
		t.Fatalf("%d spans", len(spans))
	}
	a := attributesOf(spans[0])
	if _, failed := a["error.type"]; failed || spans[0].Status.Code != codes.Unset || a["stay.outcome"] != "canceled" {
		t.Errorf("status %v, attributes %v", spans[0].Status, a)
	}
}

// Through package web the spans are children of the request's, and what the
// handler does within the change is in the change's span.
func TestSpansOfRequests(t *testing.T) {
	app, provider, exporter := tracedApp(t)
	s := stay.Register(app, stay.Module[counter]{Name: "c", Persist: stay.PerSession})
	var inner trace.SpanContext
	handler := traced(provider, web.Sessions(app, nil)(web.Update(s, func(_ http.ResponseWriter, r *http.Request, c *counter) error {
		inner = trace.SpanContextFromContext(r.Context())
		c.Count++
		return nil
	})))
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	spans := exporter.GetSpans()
	if w.Code != http.StatusOK || len(spans) != 2 {
		t.Fatalf("status %d, %d spans", w.Code, len(spans))
	}
	change, request := spans[0], spans[1]
	if change.Name != "c" || change.Parent.SpanID() != request.SpanContext.SpanID() || inner.SpanID() != change.SpanContext.SpanID() {
		t.Errorf("the change's span is a child of %v and the handler in %v; request %v, change %v",
			change.Parent.SpanID(), inner.SpanID(), request.SpanContext.SpanID(), change.SpanContext.SpanID())
	}
	if id := change.SpanContext.TraceID().String(); id != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("the trace is %s, not the one that the request names", id)
	}
}

// A sampler sees module and action, and what it leaves out costs no attributes.
func TestSampling(t *testing.T) {
	app, _, exporter := tracedApp(t, sdktrace.WithSampler(onlyAdd{}))
	s := stay.Register(app, stay.Module[counter]{
		Name: "c", Persist: stay.Global,
		Actions: stay.Actions[counter]{
			"add":  func(_ *stay.Call, c *counter) error { c.Count++; return nil },
			"look": func(*stay.Call, *counter) error { return nil },
		},
	})
	for _, action := range []string{"add", "look"} {
		if _, err := s.Do(t.Context(), action, nil); err != nil {
			t.Fatal(err)
		}
	}
	if spans := exporter.GetSpans(); len(spans) != 1 || spans[0].Name != "c.add" {
		t.Errorf("sampled %v", spans)
	}
}

// onlyAdd samples the changes of one action.
type onlyAdd struct{}

func (onlyAdd) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	for _, a := range p.Attributes {
		if a.Key == "stay.action" && a.Value.AsString() == "add" {
			return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample}
		}
	}
	return sdktrace.SamplingResult{Decision: sdktrace.Drop}
}

func (onlyAdd) Description() string { return "only add" }
