// Command settings shows what survives what: a theme and a language that stay
// for as long as the browser is known, and beside them the state of a page, a
// filter, an open question and a draft, which is gone when the page is loaded
// again.
package main

import "github.com/stay-go/stay/examples/internal/serve"

func main() { serve.Main("settings", nil, newHandler) }
