// Command settings shows which state survives what. A theme and a language stay
// for as long as the browser is known. Beside them is the state of a page,
// which is gone when the page is loaded again: a filter, an open question and a
// draft.
package main

import "github.com/stay-go/stay/examples/internal/serve"

func main() { serve.Main("settings", nil, newHandler) }
