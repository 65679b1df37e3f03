// Package logins_test proves what a login, a switch of users, a logout and a
// revocation promise.
package logins_test
