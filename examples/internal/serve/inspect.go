package serve

import (
	"net"
	"net/http"
	"net/netip"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/inspect"
)

// withInspector adds the inspector at /debug/stay/, for development.
func withInspector(app *stay.App, site http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/debug/stay/", inspect.Handler(app, isLocal, &inspect.Options{AllowChanges: true}))
	mux.Handle("/", site)
	return mux
}

// isLocal reports whether a browser on this machine has sent the request to a name
// of this machine. Pages of other sites can have a name that leads here, but it is
// not one of these. Behind a proxy every request seems local.
func isLocal(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !from.Addr().IsLoopback() {
		return false
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	if host == "localhost" {
		return true
	}
	to, err := netip.ParseAddr(host)
	return err == nil && to.IsLoopback()
}
