// Package testkit has the helpers that the black-box tests of package stay
// share: Apps on each kind of store, browsers and clocks, the states that most
// of them use, and comparisons. Tests of other packages of this repository may
// use it too; a program that is built on Stay has package staytest.
package testkit
