// Package stayotel reports what an App of package stay does to OpenTelemetry:
// measurements go to a meter provider, and changes of state go to a tracer
// provider, as spans.
//
//	metrics, err := stayotel.Metrics(meterProvider)
//	...
//	app := stay.New(store, &stay.Options{
//		Metrics: metrics,
//		Tracer:  stayotel.Tracer(tracerProvider),
//	})
//
// It needs only the API of OpenTelemetry. The program adds the SDK, and decides
// what is exported where.
package stayotel

// scope is the name under which instruments and spans appear as those of Stay.
const scope = "github.com/stay-go/stay"
