// Package stayotel reports what an App of package stay does to OpenTelemetry:
// its measurements to a meter provider, its changes of state as spans to a
// tracer provider.
//
//	metrics, err := stayotel.Metrics(meterProvider)
//	...
//	app := stay.New(store, &stay.Options{
//		Metrics: metrics,
//		Tracer:  stayotel.Tracer(tracerProvider),
//	})
//
// It needs the API of OpenTelemetry only. The program brings the SDK, and
// decides what is exported where.
package stayotel

// scope names the instruments and spans as those of Stay.
const scope = "github.com/stay-go/stay"
