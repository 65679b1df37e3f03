package stayotel

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/stay-go/stay"
)

// Tracer returns a stay.Tracer that makes a span of every change of state. The
// span is a child of the span in the change's context. Its name is the module
// and the action, such as "todos.add", or the module alone if the change is no
// action. Changes of sessions are named "stay.login", "stay.logout",
// "stay.renew", "stay.destroy" and "stay.revoke". Tracer panics if the provider
// is nil.
//
// The attributes are stay.module, stay.action, stay.outcome ("ok", "canceled"
// or the code of the error), stay.wait (seconds until the change had its turn),
// stay.runs, stay.batch (how many changes were stored with one write), and
// error.type. The text of an error is not among them, because it may hold what
// users entered. A change that failed because its caller's context was
// cancelled is "canceled" and not an error: it has no error.type, and its
// status is not set. Spans of sessions have only stay.action, stay.outcome and
// error.type.
func Tracer(provider trace.TracerProvider) stay.Tracer {
	if provider == nil {
		panic("stayotel.Tracer: the provider is nil: make one with the SDK, or pass otel.GetTracerProvider()")
	}
	return tracer{provider.Tracer(scope)}
}

type tracer struct{ trace.Tracer }

// Start implements stay.Tracer.
func (t tracer) Start(ctx context.Context, s *stay.Span) (context.Context, func()) {
	name, given := "stay", make([]attribute.KeyValue, 0, 2)
	if s.Module != "" {
		name, given = s.Module, append(given, attribute.String("stay.module", s.Module))
	}
	if s.Action != "" {
		name += "." + s.Action
		given = append(given, attribute.String("stay.action", s.Action))
	}
	ctx, span := t.Tracer.Start(ctx, name, trace.WithAttributes(given...)) // samplers may look at the attributes
	return ctx, func() {
		if span.IsRecording() {
			describe(span, s)
		}
		span.End()
	}
}

// describe adds the outcome of the change to its span.
func describe(span trace.Span, s *stay.Span) {
	outcome := "ok"
	if s.Code != "" {
		outcome = string(s.Code)
	}
	if s.Code != "" && s.Code != "canceled" { // a caller who leaves is no failure
		span.SetStatus(codes.Error, outcome)
		span.SetAttributes(attribute.String("error.type", outcome))
	}
	span.SetAttributes(attribute.String("stay.outcome", outcome))
	if s.Module == "" {
		return
	}
	span.SetAttributes(
		attribute.Float64("stay.wait", s.Wait.Seconds()),
		attribute.Int("stay.runs", s.Runs),
	)
	if s.Batch > 0 {
		span.SetAttributes(attribute.Int("stay.batch", s.Batch))
	}
}
