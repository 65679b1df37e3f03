package bench_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/bench/internal/cpu"
	"github.com/stay-go/stay/store/memstore"
	"github.com/stay-go/stay/web"
)

// A board is shown by all pages. One # is in all that is sent of it.
type board struct {
	N int `json:"n"`
}

const boardHTML = `<section class="board"><h2>Visits</h2><p># <b>%08d</b></p><p>The number above is how often somebody has been here since this board was put up. It goes up by one with each visit, and never goes down again.</p></section>`

// A liveServer sends what a board becomes to everybody who has a stream.
type liveServer struct {
	handler http.Handler
	change  func() error
}

// live is a server of web.Live.
func live(b *testing.B) liveServer {
	app := newApp(b, memstore.New(), stay.Options{})
	state := stay.Register(app, stay.Module[board]{Name: "board", Persist: stay.Global})
	h := web.Live(web.Part("board", state, func(w io.Writer, s *board) error { _, err := fmt.Fprintf(w, boardHTML, s.N); return err }))
	return liveServer{
		handler: web.Sessions(app, &web.Options{Live: web.LiveOptions{Every: 1}})(h),
		change: func() error {
			_, err := state.Update(b.Context(), func(s *board) error { s.N++; return nil })
			return err
		},
	}
}

// bare is what a program writes by hand that knows nothing of states: a channel for
// each stream, and the same bytes for all.
func bare(*testing.B) liveServer {
	var mu sync.Mutex
	all := map[chan []byte]bool{}
	n := 0
	message := func(n int) []byte {
		return fmt.Appendf(nil, "id: AAAAAAAAAAA\n\nevent: board\ndata: "+boardHTML+"\n\nid: ABCDEFGHIJK\n\n", n)
	}
	return liveServer{
		handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := make(chan []byte, 1)
			mu.Lock()
			all[c] = true
			first := message(n)
			mu.Unlock()
			defer func() { mu.Lock(); delete(all, c); mu.Unlock() }()
			w.Header().Set("Content-Type", "text/event-stream")
			rc := http.NewResponseController(w)
			for message := first; ; {
				if _, err := w.Write(message); err != nil || rc.Flush() != nil {
					return
				}
				select {
				case message = <-c:
				case <-r.Context().Done():
					return
				}
			}
		}),
		change: func() error {
			mu.Lock()
			defer mu.Unlock()
			n++
			m := message(n)
			for c := range all {
				c <- m
			}
			return nil
		},
	}
}

var liveServers = []struct {
	name string
	make func(*testing.B) liveServer
}{{"live", live}, {"bare", bare}}

// dialStreams opens streams, each on its own connection.
func dialStreams(b *testing.B, srv *httptest.Server, n int) []net.Conn {
	conns := make([]net.Conn, n)
	var dialer net.Dialer
	for i := range conns {
		conn, err := dialer.DialContext(b.Context(), "tcp", srv.Listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { conn.Close() })
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: app.test\r\nAccept: text/event-stream\r\n\r\n"); err != nil {
			b.Fatal(err)
		}
		conns[i] = conn
	}
	return conns
}

// BenchmarkPatch is one message to one of 200 streams that all get it, over real
// connections. The processor time has that of the clients, which read and throw
// away; it is the same for both servers.
func BenchmarkPatch(b *testing.B) {
	const streams = 200
	for _, kind := range liveServers {
		b.Run(kind.name, func(b *testing.B) {
			s := kind.make(b)
			srv := httptest.NewServer(s.handler)
			b.Cleanup(srv.Close)
			b.Cleanup(srv.CloseClientConnections)
			var got, target atomic.Int64
			all := make(chan struct{}, 1)
			target.Store(streams)
			for _, conn := range dialStreams(b, srv, streams) {
				go func() {
					buffer := make([]byte, 4096)
					for {
						n, err := conn.Read(buffer)
						if m := int64(bytes.Count(buffer[:n], []byte("#"))); m > 0 && got.Add(m) == target.Load() {
							all <- struct{}{}
						}
						if err != nil {
							return
						}
					}
				}()
			}
			<-all
			b.ReportAllocs()
			b.ResetTimer()
			before, n := cpu.Used(), 0
			for ; n < b.N; n += streams {
				target.Add(streams)
				if err := s.change(); err != nil {
					b.Fatal(err)
				}
				<-all
			}
			b.StopTimer()
			b.ReportMetric(float64(cpu.Used()-before)/float64(n), "cpu-ns/op")
		})
	}
}

// BenchmarkIdleStream is the memory of a stream on which nothing happens, with
// everything that net/http has for its connection.
func BenchmarkIdleStream(b *testing.B) {
	const streams = 2000
	for _, kind := range liveServers {
		b.Run(kind.name, func(b *testing.B) {
			for range b.N {
				s := kind.make(b)
				srv := httptest.NewServer(s.handler)
				before := settled()
				conns := dialStreams(b, srv, streams)
				for _, conn := range conns {
					r := bufio.NewReaderSize(conn, 256)
					for {
						line, err := r.ReadString('\n')
						if err != nil {
							b.Fatal(err)
						}
						if strings.HasPrefix(line, "id: ABC") || kind.name == "live" && strings.HasPrefix(line, "id: ") {
							break
						}
					}
				}
				after := settled()
				b.ReportMetric(float64(after.HeapInuse-before.HeapInuse)/streams, "heap-B/op")
				b.ReportMetric(float64(after.StackInuse-before.StackInuse)/streams, "stack-B/op")
				for _, conn := range conns {
					conn.Close()
				}
				srv.CloseClientConnections()
				if err := srv.Config.Shutdown(context.Background()); err != nil {
					b.Fatal(err)
				}
				srv.Close()
			}
		})
	}
}

// settled is the memory after some collections, which shrink stacks.
func settled() runtime.MemStats {
	for range 4 {
		runtime.GC()
		<-time.After(50 * time.Millisecond)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m
}
