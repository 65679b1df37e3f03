// Package tests holds what is proven about the project as a whole: its
// structure, what its users download, its README, and what needs a real
// browser. It is not published.
package tests
