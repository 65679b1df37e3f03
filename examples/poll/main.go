// Command poll asks all visitors the same question: one state for all visitors,
// pages written with templ, and Datastar, which sends its signals and gets
// parts of the page back as events.
package main

import "github.com/stay-go/stay/examples/internal/serve"

//go:generate go tool templ generate

func main() { serve.Main("poll", nil, newHandler) }
