// Package sessions_test proves when a session is stored, renewed and ended,
// and what its cookie is good for then.
package sessions_test
