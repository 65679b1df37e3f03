package stay

import (
	"errors"
	"fmt"
	"sync"

	"github.com/stay-go/stay/internal/engine"
)

// A registry is the modules of an App and the stores that have their states.
type registry struct {
	*base
	backend *engine.Backend // of the App's store

	mu       sync.RWMutex
	modules  map[string]*module
	catalog  *catalog   // of the App's store
	catalogs []*catalog // of all stores that hold the App's states, that of sessions first

	pageResets pageResets

	// listed is the session with this ID as its record says.
	listed func(id string, rec *sessionRecord) *Session
}

func newRegistry(o Options) *registry {
	return &registry{base: &base{opts: o, quotas: newQuotas()}, modules: map[string]*module{}}
}

func (a *registry) add(m *module) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.modules[m.name] != nil {
		panic(fmt.Sprintf("stay.Register: module %q is registered twice: give each module of an App its own name", m.name))
	}
	a.modules[m.name] = m
	m.catalog.registered.Add(1)
	a.pageResets.add(m)
}

// reportFault is told by the engine of failed loads and saves. A session that
// may not begin is none: its caller is told, and many more would follow.
func (a *registry) reportFault(k *engine.Kind, key, phase string, err error) {
	if errors.Is(err, errNewSessions) {
		return
	}
	a.mu.RLock()
	m := a.modules[k.Name]
	a.mu.RUnlock()
	call := a.newCall(a.engine.Context(), "", "")
	e := toError(err)
	var hook func(*Call, *Error)
	if m != nil && (m.kind == k || m.guest == k) { // and no session's record
		call.module, e.Module, hook = m.name, m.name, m.onError
	}
	if e.Phase == "" || phase == "save" { // whatever made it fail
		e.Phase = phase
	}
	if e.KeyHash == "" {
		e.KeyHash = keyHash(key)
	}
	a.report(hook, call, e)
}
