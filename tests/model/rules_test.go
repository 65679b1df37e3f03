package model_test

import (
	"os"
	"slices"
	"strings"
)

// The rules of programs that know different modules. Each can be told apart, so
// that the model fits the code before and after it keeps them.
var (
	// unknownModules: a process loses nothing of modules that it does not
	// register. Their OnExpire runs in one that does, a login leaves the guest's
	// state to be taken along at its next use, and Destroy ends it.
	unknownModules = keeps("unknown")
	// graves: a process that knows a state to be absent does not write over the
	// expired record of one that another process has made meanwhile.
	graves = keeps("graves")
)

// notYet are the rules that the code does not keep yet. STAY_MODEL_WITHOUT
// takes their place: names with commas between, or nothing.
var notYet = []string{"graves"}

// keeps reports whether the code keeps a rule.
func keeps(rule string) bool {
	if env, ok := os.LookupEnv("STAY_MODEL_WITHOUT"); ok {
		return !slices.Contains(strings.Split(env, ","), rule)
	}
	return !slices.Contains(notYet, rule)
}
