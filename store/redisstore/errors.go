package redisstore

import (
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/redis/rueidis"

	"github.com/stay-go/stay/store"
)

// refusals are the codes of errors with which a server answers before it begins a
// script. An error in the middle of one could come after something was written.
var refusals = []string{
	"ASK", "BUSY", "CLUSTERDOWN", "CROSSSLOT", "LOADING", "MASTERDOWN", "MISCONF", "MOVED", "NOAUTH", "NOPERM",
	"NOREPLICAS", "NOSCRIPT", "OOM", "READONLY", "TRYAGAIN", "WRONGPASS",
}

// outcomeOf says what an error means for the groups of a script.
func outcomeOf(err error) store.Outcome {
	if notSent(err) || slices.Contains(refusals, code(err)) {
		return store.Rejected
	}
	return store.Unknown
}

// code returns the first word of what the server says, which rueidis gives without
// ERR, and "" if the error is not its.
func code(err error) string {
	said, ok := rueidis.IsRedisErr(err)
	if !ok {
		return ""
	}
	word, _, _ := strings.Cut(said.Error(), " ")
	return word
}

// notSent reports whether nothing has been sent to the server.
func notSent(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true // the error of a client that is not ours
	}
	return errors.Is(err, errNotSent)
}
