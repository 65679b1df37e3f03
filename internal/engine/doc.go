// Package engine keeps instances of state in memory and runs every change as
// a serial, all-or-nothing transaction that is answered when it is durable.
// It works on bytes, values of any type and functions; package stay puts
// types on top.
//
// An update runs in its caller's goroutine. It takes the turn of its instance,
// works on a copy, and joins the instance's open batch. When the batch closes,
// its encoded state goes to the store as one conditional write, together with
// the writes of other instances. The machine in turn.go decides, and the other
// files carry out what it decides.
//
// # The life of an instance
//
//	  not in memory
//	        |  load.go, ahead.go, prefetch.go: create, pinned, and fetch its record
//	        v
//	     loading -------- fails: discard
//	        |  publish
//	        v
//	+--> at rest -------- nobody uses it: evict; its record is gone: end
//	|       |  enter: somebody has the turn
//	|       v
//	|    running -------- error, panic: nothing has changed
//	|       |  finish: the result joins the batch, the next has the turn
//	|       v
//	|    batch open ----- full, late, or nobody comes: close
//	|       |  commit.go: shut, the turn is nobody's
//	|       v
//	|    at the store --- backend.go; outgoing.go: sent again while in doubt
//	|       |  conclude.go: tell everybody
//	|       v
//	+--- applied: publish
//	     rejected: as before the batch
//	     overtaken: publish, and the batch's members run again
//	     conflict, lost: discard
//	     deleted: end
//
// A group (group.go) has the turns of several instances, and their batches are
// one write. An instance with Debounce (debounce.go, postpone.go) is concluded
// at once, and its saves (save.go) go to the store beside it. An instance that
// other nodes want too stands aside (aside.go) until it is its node's turn, for
// which an attendant waits (attend.go); contest.go and rota.go know whose turn it
// is. State that is only in memory (memory.go) has no store. evict.go has all ways out of memory.
// departures.go calls the hooks of states that have left. watch.go wakes those who
// watch a state when publish shows another version, and when its instance dies.
//
// # Locks
//
// The turn of an instance is held while a run is under way, and by nobody while
// a batch is at the store. It is not a mutex: members that wait are in the
// machine's queue, and leave it when their context ends. The holder of the turn
// may read what the machine has committed and what it works on without a lock,
// and may wait for loads and for the store. Only a group holds several turns.
// All groups take them in the same order of instances.
//
// Mutexes are held for a few instructions. Nobody waits for a store, a turn, a
// channel or user code while holding one. If several are taken, they are taken
// in this order, each before those below it:
//
//	shard.mu      who is in the cache, and the order of use; one shard at a time
//	Instance.mu   the machine, the active part, what is owed; one instance at a
//	              time, and under shard.mu by TryLock only
//	departures.mu the queue of hooks
//	contests.mu   what is known of other nodes
//	topics.mu     who watches which states; one shard at a time
//	Engine.mu     goroutines that start, backends, the end
//
// Backend.mu, the queue of a store, is taken alone. Readers see one atomic
// pointer, Instance.snapshot. Only publish sets it, under Instance.mu.
package engine
