// Command counter shows Stay at work: a page with a number for each browser
// and one that all visitors share, kept in an SQLite file. Nothing that a
// button has shown is lost by a reload, a restart or a kill -9.
package main

import "github.com/stay-go/stay/examples/internal/serve"

func main() { serve.Main("counter", nil, newHandler) }
