package faultnet_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/faultnet"
)

// echo is a server that answers with what it gets, and hands on what each
// connection has sent when it ends.
func echo(t *testing.T) (address string, got chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	got = make(chan string, 8)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				all, _ := io.ReadAll(io.TeeReader(c, c))
				got <- string(all)
			}()
		}
	}()
	return l.Addr().String(), got
}

func open(t *testing.T) (*faultnet.Proxy, net.Conn, chan string) {
	t.Helper()
	address, got := echo(t)
	p, err := faultnet.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return p, c, got
}

func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, c net.Conn, text string) {
	t.Helper()
	b := make([]byte, len(text))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != text {
		t.Fatalf("heard %q, %v, want %q", b, err, text)
	}
}

// What is held arrives in order, also when the client has gone.
func TestHeldBytesArriveLater(t *testing.T) {
	p, c, got := open(t)
	say(t, c, "one")
	hear(t, c, "one")
	p.Hold(faultnet.ToServer)
	say(t, c, "two")
	say(t, c, "three")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case text := <-got:
		t.Fatalf("the server has got %q and the end", text)
	case <-time.After(20 * time.Millisecond): // a proxy that holds nothing would have been faster
	}
	p.Release()
	if text := <-got; text != "onetwothree" {
		t.Errorf("the server has got %q", text)
	}
}

// An answer that is held does not keep the server from getting more.
func TestOneDirectionIsHeld(t *testing.T) {
	p, c, got := open(t)
	p.Hold(faultnet.ToClient)
	say(t, c, "one")
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if text := <-got; text != "one" {
		t.Errorf("the server has got %q", text)
	}
	p.Release()
	hear(t, c, "one")
}

// A delay is one of both directions.
func TestDelay(t *testing.T) {
	p, c, _ := open(t)
	const delay = 30 * time.Millisecond
	p.Delay(delay)
	began := time.Now()
	say(t, c, "one")
	hear(t, c, "one")
	if took := time.Since(began); took < 2*delay {
		t.Errorf("there and back took %v", took)
	}
}

// Cut ends the connections that there are, and new ones work.
func TestCut(t *testing.T) {
	p, c, _ := open(t)
	say(t, c, "one")
	hear(t, c, "one")
	p.Hold(faultnet.ToClient)
	say(t, c, "two")
	p.Cut()
	if n, err := c.Read(make([]byte, 8)); err == nil {
		t.Errorf("read %d bytes after the cut", n)
	}
	p.Release()
	again, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	say(t, again, "three")
	hear(t, again, "three")
}
