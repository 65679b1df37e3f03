package pgstore

// OpenPool opens a store with a pool of its own, of which the test has the
// configuration.
var OpenPool = openPool
