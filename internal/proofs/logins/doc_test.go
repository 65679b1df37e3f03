// Package logins_test proves the promises of a login, a switch of users, a
// logout and a revocation.
package logins_test
