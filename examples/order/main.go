// Command order is a tea order in three steps: pages written with templ, forms
// that come back with what was entered and with errors, and htmx, without which
// it works too. A browser's order survives reload and restart.
package main

import "github.com/stay-go/stay/examples/internal/serve"

//go:generate go tool templ generate

func main() { serve.Main("order", nil, newHandler) }
