package engine

import (
	"time"

	"github.com/stay-go/stay/internal/meta"
)

// A NamedOp is an Op that may have a [Ref].Name.
type NamedOp interface {
	Op
	// Known is called in place of Run if the change was made before. The op
	// gets the state as it is now. A Run may still follow, if nothing was kept
	// of the change after all.
	Known()
}

// namesAfter returns the names of the version that res makes of work.
func (e *Engine) namesAfter(k *Kind, work *Version, res *Result) names {
	n := work.names()
	if res.From != nil {
		n = n.join(res.From.names())
	}
	if n.roll == nil && res.Name.ID == 0 {
		return n
	}
	minute := uint32(e.cfg.Now().Unix() / 60) //nolint:gosec // good for some thousand years
	n = n.since(minute)
	if res.Name.ID != 0 {
		n = n.add(meta.Action{Name: res.Name.ID, Print: res.Name.Print, Minute: minute})
	}
	n, forgotten := n.bounded()
	if forgotten > 0 {
		e.forgot(k, forgotten)
	}
	return n
}

// forgot counts names that made room for others before their time, and warns of
// it once a minute for each module.
func (e *Engine) forgot(k *Kind, n int) {
	if e.cfg.Observer != nil {
		e.cfg.Observer.Forgotten(k, n)
	}
	if k.forgot.due(e.cfg.Now()) {
		e.cfg.Logger.Warn("a state gets so many actions with ids that it forgets the oldest before their time: "+
			"one that is sent again later takes effect again; keep the ids in the state if that may happen",
			"module", k.Name, "ids", maxNames, "within", time.Duration(nameMinutes)*time.Minute)
	}
}
