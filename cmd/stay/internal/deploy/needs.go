package deploy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stay-go/stay/manifest"
	"github.com/stay-go/stay/store"
)

// Features returns those of a kind of store; nil if it is not known.
func Features(kind string) *store.Features {
	switch kind {
	case "sqlite":
		return &store.Features{Durable: true, SoleOwner: true, Groups: true, Expire: true, List: true, Watch: true, MaxValue: 32 << 20}
	case "postgres":
		return &store.Features{Durable: true, Groups: true, Expire: true, List: true, MaxValue: 16 << 20}
	case "redis":
		return &store.Features{Durable: true, Groups: true, Expire: true, List: true, MaxValue: 16 << 20}
	case "nats":
		return &store.Features{Durable: true, Groups: true, List: true, MaxValue: maxPayload - 16<<10}
	case "cloudflare":
		return &store.Features{Durable: true, Groups: true, Expire: true, List: true, MaxValue: 4 << 20}
	}
	return nil
}

// maxPayload is max_payload of the servers of NATS, which takes states of the usual
// Options.MaxState.
const maxPayload = 2 << 20

// kindOf returns the kind of a store of this type; "" if it is none that can be
// deployed.
func kindOf(typ string) string {
	switch typ {
	case "sqlitestore.Store":
		return "sqlite"
	case "pgstore.Store":
		return "postgres"
	case "redisstore.Store":
		return "redis"
	case "natsstore.Store":
		return "nats"
	case "cloudflarestore.Store":
		return "cloudflare"
	}
	return ""
}

// storeKind returns the store that is planned with, and its features.
func (c *Config) storeKind() (string, store.Features, error) {
	given := c.Program.Store
	kind := kindOf(given.Type)
	switch {
	case c.Store != "":
		if kind == c.Store {
			break
		}
		kind = c.Store
		given = manifest.Store{Features: *Features(kind)}
	case kind != "":
	case given.Type == "memstore.Store":
		switch {
		case c.on("cloudflare"):
			kind = "cloudflare"
		case c.on("compose"):
			kind = "postgres"
		default:
			kind = "sqlite"
		}
		given = manifest.Store{Features: *Features(kind)}
	default:
		return "", store.Features{}, mistake("the program keeps its states in a %s, for which there are no plans: if it uses another store where it runs, name that with --store", given.Type)
	}
	switch {
	case c.on("cloudflare") && kind != "cloudflare":
		return "", store.Features{}, mistake("the target cloudflare keeps records in Durable Objects, and the store is %s: use --store cloudflare, or another target", kind)
	case kind == "cloudflare" && c.on("fly") && c.Container:
		return "", store.Features{}, mistake("the program runs on Fly or in Cloudflare's containers: leave out --container, or the target fly")
	}
	return kind, given.Features, nil
}

// needs says what the application needs and why.
func (p *Plan) needs(c *Config, f store.Features) {
	by := map[string][]string{}
	var expire, debounce, version []string
	for _, m := range c.Program.Modules {
		by[m.Strategy] = append(by[m.Strategy], m.Name)
		if slices.Contains(m.Hooks, "OnExpire") && m.Strategy != "" {
			expire = append(expire, m.Name)
		}
		if m.Debounce != "" {
			debounce = append(debounce, m.Name)
		}
		if m.Oldest < m.Version {
			version = append(version, fmt.Sprintf("%s %d-%d", m.Name, m.Oldest, m.Version))
		}
		if m.Store != nil {
			p.warn("module %s has a store of its own, a %s: nothing is planned for it", m.Name, m.Store.Type)
		}
	}
	switch p.Store {
	case "sqlite":
		p.need("a folder on a local disk that stays", "SQLite keeps all records in one file; its log and its lock lie beside it")
		if f.SoleOwner {
			p.need("one instance", "the file has one owner at a time")
		}
	case "postgres":
		p.need("a PostgreSQL database, whose address is a secret", "all instances keep their records there; the program takes the address from DATABASE_URL")
	case "redis":
		p.need("a Redis with appendonly yes and appendfsync always, whose address is a secret", "all instances keep their records there; the program takes the address from REDIS_URL. A failover may lose the last changes")
	case "nats":
		p.need("servers of NATS with JetStream, sync_interval: always and max_payload: 2MB, whose address is a secret", "all instances keep their records there; the program takes the address from NATS_URL, and opens the store with natsstore.SyncAlways(). Three servers on three machines go on when one fails")
	case "cloudflare":
		p.need("a Worker with the class StayRecords of Durable Objects", "the objects keep all records; the program reaches them by STAY_URL and STAY_SECRET")
	}
	for _, s := range []struct{ strategy, why string }{
		{"PerSession", "each browser has its own state: sessions, and the keys that sign their cookies, are in the store"},
		{"PerUser", "each user has one state on all devices: the program calls Login, and sessions are in the store"},
		{"WithKey", "the state says whose it is: sessions are in the store"},
		{"ResolveKey", "state and session say whose it is: sessions are in the store"},
		{"Global", "one state for all visitors"},
		{"", "ephemeral: it ends with its session"},
	} {
		if len(by[s.strategy]) > 0 {
			p.need(strings.TrimSpace(fmt.Sprintf("%s %s", s.strategy, list(by[s.strategy]))), s.why)
		}
	}
	if len(expire) > 0 {
		p.need("a store that finds what has expired", "OnExpire of "+list(expire))
	}
	if len(debounce) > 0 {
		p.need("a store with one owner, and 30 s for a clean shutdown", "Debounce of "+list(debounce))
	}
	if len(version) > 0 {
		p.need("no programs of earlier releases beside this one for long", "they cannot read what it writes: "+list(version))
	}
	if c.on("caddy") || c.on("fly") || c.Container {
		p.need("web.Options.TrustProxy", "a proxy ends TLS and says so in X-Forwarded-Proto")
	}
	if c.Health != "" && (c.on("fly") || c.on("compose") || c.Container || c.on("caddy") && c.Instances > 1) {
		p.need("an answer at "+c.Health, "health checks: let it call App.Check, or choose another path with --health")
	}
}

func list(names []string) string { return strings.Join(names, ", ") }

// engineRefuses finds what stay.New and stay.Register would refuse on the store,
// and what no store can do.
func (p *Plan) engineRefuses(c *Config, f store.Features) {
	if p.Store == "sqlite" && c.Instances > 1 {
		switch {
		case f.SoleOwner:
			p.refuse(fmt.Sprintf("SQLite keeps the records in one file with one owner, and there would be %d instances: all but one would not start, or each would have records of its own", c.Instances),
				"use --instances 1, or --store postgres")
		case slices.ContainsFunc(c.Targets, func(t string) bool { return t != "systemd" && t != "caddy" }):
			p.refuse("instances that share an SQLite file have to be on one machine", "use the target systemd, --instances 1, or --store postgres")
		}
	}
	if !f.Groups {
		p.refuse("the store has no atomic groups (Features.Groups), which sessions need", "use a store that has them")
	}
	if f.MaxValue > 0 && c.Program.MaxState > f.MaxValue {
		p.refuse(fmt.Sprintf("the store takes values of at most %d bytes, and Options.MaxState is %d", f.MaxValue, c.Program.MaxState), "make MaxState smaller, or use another store")
	}
	for _, m := range c.Program.Modules {
		if m.Store != nil {
			continue
		}
		if m.Debounce != "" && !f.SoleOwner {
			p.refuse(fmt.Sprintf("module %s has Debounce, which keeps changes in memory for a while, and the store is shared (Features.SoleOwner is false), so other processes would not see them", m.Name),
				"remove Debounce, or use --store sqlite with one instance")
		}
		if slices.Contains(m.Hooks, "OnExpire") && m.Strategy != "" && !f.Expire {
			p.refuse(fmt.Sprintf("module %s has OnExpire, and the store cannot find expired records (Features.Expire is false)", m.Name), "remove the hook, or use a store that can")
		}
	}
}
