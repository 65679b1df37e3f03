// Package cpu tells how much processor time was used. On a machine that does
// other things too it says more than the time that went by.
package cpu

import "time"

// Used returns the processor time that this process has used since it began,
// and 0 on systems that do not tell.
func Used() time.Duration { return used() }
