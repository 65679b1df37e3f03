// Command spa is a shopping list for a program in the browser that speaks JSON: it
// listens to one stream of states, and sends actions until they are answered. It
// has nothing of Stay's in the browser, and no library.
package main

import "github.com/stay-go/stay/examples/internal/serve"

func main() { serve.Main("spa", nil, newHandler) }
