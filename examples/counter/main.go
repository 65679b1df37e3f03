// Command counter shows Stay at work: a page with a number for each browser and
// one that all visitors share, kept in an SQLite file and shown by all pages that
// are open. No reload, restart or kill -9 loses what a button has shown.
package main

import "github.com/stay-go/stay/examples/internal/serve"

func main() { serve.Main("counter", nil, newHandler) }
