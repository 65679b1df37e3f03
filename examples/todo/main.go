// Command todo keeps a list for each user, the same on all their devices. A
// guest has one too, and brings it along at login.
//
// To be short, it takes any name without a password: anyone who knows a name
// sees its list. A real program checks who the user is before it runs the
// action "login".
package main

import (
	"github.com/stay-go/stay"
	"github.com/stay-go/stay/examples/internal/serve"
)

func main() {
	// The lists of guests are in the store too, so that they survive a restart.
	serve.Main("todo", &stay.Options{Guests: stay.GuestStored}, newHandler)
}
