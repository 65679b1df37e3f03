package redisstore

// OpenWith opens a store with connections of its own, of which the test has the
// options.
var OpenWith = openWith

// Parse returns the options that a URL stands for.
var Parse = parse
