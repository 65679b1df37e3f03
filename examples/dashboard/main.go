// Command dashboard shows three states on one page, and one stream keeps all of
// them up to date with Datastar: what everybody has together, what a user has on
// all devices, and what a browser has in all its tabs.
//
// It asks for no password: see signIn in handler.go for where that belongs.
package main

import "github.com/stay-go/stay/examples/internal/serve"

func main() { serve.Main("dashboard", nil, newHandler) }
