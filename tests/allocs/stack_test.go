//go:build !race

package allocs_test

import (
	"net/http"
	"runtime"
	"runtime/debug"
	"testing"
	"unsafe"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/store/memstore"
)

// What net/http has on the stack when it calls a handler, and some room for
// middleware.
const above = 1500

// A request of a session needs less stack than 8 KiB, with what net/http needs. A
// collection of garbage halves the stack of a connection that waits, down to
// that. What does not fit makes the stack of each connection grow again after
// each collection, and to copy a deep stack takes longer than many requests.
func TestRequestsFitIntoASmallStack(t *testing.T) {
	app := stay.New(memstore.New(), nil)
	defer app.Close(t.Context())
	own := stay.Register(app, stay.Module[tally]{Name: "own", Persist: stay.PerSession})
	view, update := handlers(app, own)
	cookie := newCookie(t, update)

	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // or the stacks shrink
	if !outgrows(func() { deep(8<<10, func() {}) }) {
		t.Fatal("a stack of 8 KiB holds 8 KiB and more: the test sees nothing")
	}
	for name, run := range map[string]func(){
		"web.View":   serve(t, view, http.MethodGet, cookie),
		"web.Update": serve(t, update, http.MethodPost, cookie),
	} {
		run()
		if outgrows(func() { deep(above, run) }) {
			t.Errorf("%s needs more stack than 8 KiB: see what the functions on its way need with go build -gcflags=-S, and move what is rare into functions of their own", name)
		}
	}
}

// outgrows reports whether fn needs more stack than 8 KiB.
func outgrows(fn func()) bool {
	moved := make(chan bool)
	go func() {
		deep(5<<10, func() {}) // a stack has a power of two
		var here byte
		before := uintptr(unsafe.Pointer(&here))
		fn()
		moved <- before != uintptr(unsafe.Pointer(&here))
	}()
	return <-moved
}

// deep calls fn with n bytes and a little more on the stack.
//
//go:noinline
func deep(n int, fn func()) {
	if n <= 0 {
		fn()
		return
	}
	var room [200]byte
	deep(n-len(room), fn)
	runtime.KeepAlive(&room)
}
