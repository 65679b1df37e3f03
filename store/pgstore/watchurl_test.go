package pgstore_test

import (
	"fmt"
	"net"
	"net/url"
	"testing"

	"github.com/stay-go/stay/store/pgstore"
)

// TestWatchFindsThePrimary proves that Watch listens at the primary of several
// hosts that WatchURL names, also if the first of them is a standby, or takes
// connections and says nothing.
func TestWatchFindsThePrimary(t *testing.T) {
	primary := ownServer(t)
	standby := primary.standby(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	pooler := primary.pooler(t)
	for name, port := range map[string]int{"a standby": standby.port, "a silent host": silent.Addr().(*net.TCPAddr).Port} {
		t.Run(name, func(t *testing.T) {
			hosts, err := url.Parse(primary.url())
			if err != nil {
				t.Fatal(err)
			}
			hosts.Host = fmt.Sprintf("127.0.0.1:%d,%s", port, hosts.Host)
			st := open(t, pooler.url(), pgstore.WatchURL(hosts.String()))
			w := watch(t, st)
			w.want(t, name, put(t, st, name, 0, "x"), 1)
		})
	}
}
