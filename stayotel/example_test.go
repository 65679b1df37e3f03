package stayotel_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/stayotel"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/web"
)

// newApp returns an App that reports to the providers.
func newApp(meters metric.MeterProvider, tracers trace.TracerProvider) (*stay.App, error) {
	metrics, err := stayotel.Metrics(meters)
	if err != nil {
		return nil, err
	}
	return stay.New(memstore.New(), &stay.Options{
		Metrics: metrics,
		Tracer:  stayotel.Tracer(tracers),
	}), nil
}

// traced makes a span of each request, which continues the trace that the
// request names. The spans of changes of state become its children.
func traced(tracers trace.TracerProvider, next http.Handler) http.Handler {
	tracer := tracers.Tracer("example.com/app")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := tracer.Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// ready answers readiness probes: 200 when the App can do its work.
func ready(app *stay.App, log *slog.Logger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), time.Second)
		defer cancel()
		if err := app.Check(ctx); err != nil {
			log.Warn("not ready", "error", err)
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	}
}

type counter struct {
	Count int `json:"count"`
}

// newHandler is the program: a counter for each visitor.
func newHandler(app *stay.App, tracers trace.TracerProvider) http.Handler {
	clicks := stay.Register(app, stay.Module[counter]{
		Name:    "clicks",
		Persist: stay.PerSession,
		Actions: stay.Actions[counter]{
			"add": func(c *stay.Call, s *counter) error {
				trace.SpanFromContext(c.Context()).AddEvent("counted") // the change's own span
				s.Count++
				return nil
			},
		},
	})
	site := http.NewServeMux()
	site.HandleFunc("POST /add", web.Do(clicks, "add", func(w http.ResponseWriter, _ *http.Request, c *counter) error {
		_, err := fmt.Fprint(w, c.Count)
		return err
	}))
	mux := http.NewServeMux()
	mux.Handle("/", traced(tracers, web.Sessions(app, nil)(site)))
	mux.HandleFunc("GET /readyz", ready(app, slog.New(slog.DiscardHandler))) // beside it: probes have no session
	return mux
}

// A program with OpenTelemetry, and what it reports. In place of the reader and
// the exporter of this example stand those of the SDK that send somewhere.
func Example() {
	reader := sdkmetric.NewManualReader()
	exporter := tracetest.NewInMemoryExporter()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	app, err := newApp(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)), tracers)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer app.Close(context.Background())
	handler := newHandler(app, tracers)

	request := func(method, path string) {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		fmt.Println(method, path, w.Code, w.Body)
	}
	request("POST", "/add")
	request("GET", "/readyz")

	for _, span := range exporter.GetSpans() { // in the order in which they ended
		fmt.Println("span", span.Name, span.Parent.IsValid(), len(span.Events))
	}
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &collected); err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range collected.ScopeMetrics[0].Metrics {
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			if m.Name == "stay.sessions.begun" {
				fmt.Println(m.Name, data.DataPoints[0].Value)
			}
		case metricdata.Histogram[float64]:
			if m.Name == "stay.update.duration" {
				module, _ := data.DataPoints[0].Attributes.Value("stay.module")
				fmt.Println(m.Name, module.AsString(), data.DataPoints[0].Count)
			}
		}
	}
	// Output:
	// POST /add 200 1
	// GET /readyz 200 ready
	//
	// span clicks.add true 1
	// span POST false 0
	// stay.update.duration clicks 1
	// stay.sessions.begun 1
}
