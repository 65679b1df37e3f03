// Command account shows what belongs to a user, what belongs to a browser, and
// how one login moves the former. It is a small tea shop with a cart, a
// profile, the teas that were looked at, and the list of devices that a user is
// signed in on, kept in an SQLite file. A login survives a restart and a kill
// -9.
//
// It asks for no password: see login in handler.go for where that belongs.
package main

import (
	"net/http"

	"github.com/stay-go/stay"
	"github.com/stay-go/stay/examples/internal/serve"
)

func main() {
	serve.Main("account", options(), func(app *stay.App) http.Handler { return newHandler(newShop(app)) })
}

// options are the App's, here and in the tests. A cart is worth something
// before its owner has signed in, so guests are kept in the file too, not only
// in memory.
func options() *stay.Options {
	return &stay.Options{Guests: stay.GuestStored}
}
