package main

import (
	"slices"
	"strings"
)

// A kind is a server to measure. {dir} in its arguments is a folder of its own,
// {postgres} and {redis} the URL of a database of its own.
type kind struct {
	name    string
	args    []string
	keeps   bool   // it counts
	setting string // of the environment; "" = that of this process
}

// label is the name of a server in its setting.
func (k *kind) label() string { return strings.TrimSpace(k.name + " " + k.setting) }

const (
	// baseline is the server that most others are compared with.
	baseline = "bare"
	// ceiling is the second one that durable servers are compared with.
	ceiling = "ceiling"
)

var servers = []kind{
	{name: baseline, args: []string{"-kind", "bare"}},
	{name: ceiling, args: []string{"-kind", "ceiling", "-store", "log:{dir}"}, keeps: true},
	{name: "mapmutex", args: []string{"-kind", "mapmutex"}, keeps: true},
	{name: "scs-mem", args: []string{"-kind", "scs"}, keeps: true},
	{name: "stay-mem", keeps: true},
	{name: "scs-sqlite", args: []string{"-kind", "scs", "-store", "sqlite:{dir}"}, keeps: true},
	{name: "stay-sqlite", args: []string{"-store", "sqlite:{dir}"}, keeps: true},
	{name: "scs-postgres", args: []string{"-kind", "scs", "-store", "{postgres}"}, keeps: true},
	{name: "stay-postgres", args: []string{"-store", "{postgres}"}, keeps: true},
	{name: "scs-redis", args: []string{"-kind", "scs", "-store", "{redis}"}, keeps: true},
	{name: "stay-redis", args: []string{"-store", "{redis}"}, keeps: true},
}

// A scenario is a load. The first of its servers is the one that the others are
// compared with.
type scenario struct {
	name     string
	title    string
	request  request
	sessions int
	conns    int
	pick     pick
	servers  []string
}

func (s *scenario) baseline() string { return s.servers[0] }

var (
	inMemory    = []string{baseline, "mapmutex", "scs-mem", "stay-mem"}
	durable     = []string{baseline, ceiling, "scs-sqlite", "stay-sqlite"}
	durableMany = []string{baseline, ceiling, "stay-sqlite"} // scs takes minutes to begin so many sessions
	reading     = []string{baseline, "mapmutex", "scs-mem", "stay-mem", "scs-sqlite", "stay-sqlite"}
	remote      = []string{"scs-postgres", "stay-postgres"}
	onRedis     = []string{"scs-redis", "stay-redis"}
)

var scenarios = []scenario{
	{"memory", "increment in memory, 64 sessions", increment, 64, 64, inTurn, inMemory},
	{"memory-one", "increment in memory, 16 connections on one session", increment, 1, 16, inTurn, inMemory},
	{"sqlite", "increment, durable on SQLite, 64 sessions", increment, 64, 64, inTurn, durable},
	{"sqlite-10k", "increment, durable on SQLite, 10,000 sessions on 64 connections", increment, 10_000, 64, inTurn, durable},
	{"sqlite-100k", "increment, durable on SQLite, 100,000 sessions on 64 connections", increment, 100_000, 64, uniformly, durableMany},
	{"sqlite-100k-skewed", "increment, durable on SQLite, 100,000 sessions on 64 connections, half of the requests for 350 of them", increment, 100_000, 64, skewed, durableMany},
	{"sqlite-one", "increment, durable on SQLite, 16 connections on one session", increment, 1, 16, inTurn, durable},
	{"read", "read, 64 sessions", read, 64, 64, inTurn, reading},
	{"postgres", "increment, durable on PostgreSQL, 64 sessions", increment, 64, 64, inTurn, remote},
	{"postgres-one", "increment, durable on PostgreSQL, 16 connections on one session", increment, 1, 16, inTurn, remote},
	{"postgres-client", "increment, durable on PostgreSQL, one connection", increment, 1, 1, inTurn, remote},
	{"postgres-read", "read on PostgreSQL, 64 sessions", read, 64, 64, inTurn, remote},
	{"redis", "increment, durable on Redis, 64 sessions", increment, 64, 64, inTurn, onRedis},
	{"redis-one", "increment, durable on Redis, 16 connections on one session", increment, 1, 16, inTurn, onRedis},
	{"redis-client", "increment, durable on Redis, one connection", increment, 1, 1, inTurn, onRedis},
	{"redis-read", "read on Redis, 64 sessions", read, 64, 64, inTurn, onRedis},
}

// withBaselines adds the servers that the others of a load are compared with.
func withBaselines(loads []scenario, chosen []kind) []kind {
	return slices.DeleteFunc(slices.Clone(servers), func(k kind) bool {
		return !slices.ContainsFunc(chosen, func(c kind) bool { return c.name == k.name }) &&
			!slices.ContainsFunc(loads, func(l scenario) bool {
				return l.baseline() == k.name && slices.ContainsFunc(chosen, func(c kind) bool { return slices.Contains(l.servers, c.name) })
			})
	})
}

// withSettings makes a server of each kind in each setting. A setting is variables of
// the environment with spaces between them; commas are between settings.
func withSettings(kinds []kind, settings string) []kind {
	var set []kind
	for setting := range strings.SplitSeq(settings, ",") {
		for _, k := range kinds {
			k.setting = setting
			set = append(set, k)
		}
	}
	return set
}
