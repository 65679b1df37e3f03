package pgstore_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/store/pgstore"
)

// TestWatchFindsThePrimary proves that Watch listens at the primary of several
// hosts that WatchURL names, also if the first of them is a standby, or takes
// connections and says nothing.
//
// Proves N2.
func TestWatchFindsThePrimary(t *testing.T) {
	t.Parallel()
	primary := ownServer(t)
	standby := primary.standby(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	pooler := primary.pooler(t)
	for name, port := range map[string]int{"a standby": standby.Port(), "a silent host": silent.Addr().(*net.TCPAddr).Port} {
		t.Run(name, func(t *testing.T) {
			hosts, err := url.Parse(primary.URL())
			if err != nil {
				t.Fatal(err)
			}
			hosts.Host = fmt.Sprintf("127.0.0.1:%d,%s", port, hosts.Host)
			st := open(t, pooler.url(), pgstore.WatchURL(hosts.String()))
			w := storekit.Watch(t, st)
			w.WantNamed(t, name, storekit.Put(t, st, name, 0, "x"), 1)
		})
	}
}

// A mute is a connection that is cut off, without a word to either end, as soon as
// it sends a text.
type mute struct {
	net.Conn
	text string
	once *sync.Once
	cut  bool
}

func (m *mute) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(m.text)) {
		m.once.Do(func() { m.cut = true })
	}
	if m.cut {
		return len(b), nil
	}
	return m.Conn.Write(b)
}

// TestWatchThatIsCutOffBeginsAgain proves that Watch connects again if the network
// breaks without a word before it listens.
//
// Proves N2.
func TestWatchThatIsCutOffBeginsAgain(t *testing.T) {
	s := theServer(t)
	for _, text := range []string{"pg_advisory_lock_shared", "LISTEN"} {
		t.Run(text, func(t *testing.T) {
			cfg := config(t, s.URL("search_path", s.schema(t)))
			var once sync.Once
			cfg.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := new(net.Dialer).DialContext(ctx, network, address)
				return &mute{Conn: c, text: text, once: &once}, err
			}
			st, err := pgstore.OpenPool(storekit.Within(t), cfg, []pgstore.Option{pgstore.Attempt(time.Second)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = st.Close() })
			w := storekit.Watch(t, st)
			w.WantNamed(t, "key", storekit.Put(t, st, "key", 0, "x"), 1)
		})
	}
}
