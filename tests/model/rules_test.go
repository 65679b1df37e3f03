package model_test

import (
	"os"
	"slices"
	"strings"
)

// The rules of guests and of programs that know different modules. Each can be
// told apart, so that the model fits the code before and after it keeps them.
var (
	// guestsOfUsers: each change of the session's user begins a new guest in all
	// modules. What a guest of nobody has goes along with a login, to the key's
	// state or to the user's own guest; what a guest of a user has goes nowhere.
	guestsOfUsers = keeps("guests")
	// unknownModules: a process loses nothing of modules that it does not
	// register. Their OnExpire runs in one that does, a login leaves the guest's
	// state to be taken along at its next use, and Destroy ends it.
	unknownModules = keeps("unknown")
	// guestsExpire: Module.Expiry is for the stored states of guests as well.
	guestsExpire = keeps("expiry")
	// graves: a process that knows a state to be absent does not write over the
	// expired record of one that another process has made meanwhile.
	graves = keeps("graves")
	// guestsStay: a state in memory stays for as long as its session is used; if
	// not, it goes when it was not used itself for Options.IdleTimeout.
	guestsStay = keeps("idle")
)

// notYet are the rules that the code does not keep yet. STAY_MODEL_WITHOUT
// takes their place: names with commas between, or nothing.
var notYet = []string{"guests", "unknown", "expiry", "graves", "idle"}

// keeps reports whether the code keeps a rule.
func keeps(rule string) bool {
	if env, ok := os.LookupEnv("STAY_MODEL_WITHOUT"); ok {
		return !slices.Contains(strings.Split(env, ","), rule)
	}
	return !slices.Contains(notYet, rule)
}
