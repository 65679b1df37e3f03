package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/store"
)

func newDoctor() *cobra.Command {
	var d doctor
	var file string
	c := &cobra.Command{
		Use:   "doctor STORE",
		Short: "Look for what is wrong with a store",
		Long: "Look for what is wrong with a store, and say what to do about it: durability, the clock of its server, records that are too large or cannot be read, " +
			"signing keys, states of several schema versions, modules that no program registers any more, and expired records that nobody removes. No record is changed.\n\n" +
			"The exit code is 3 if something is wrong. With --json each finding is a line.\n\n" + storeHelp,
		Example: "  stay doctor postgres://app@db.example.com/app",
		Args:    arguments(1, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if d.limit < 1 || d.maxState < 1 {
				return &usageError{errors.New("--limit and --max-state are at least 1")}
			}
			if file != "" {
				var err error
				if d.program, err = readProgram(file); err != nil {
					return err
				}
				if !c.Flags().Changed("max-state") {
					d.maxState = d.program.MaxState
				}
			}
			d.out = c.OutOrStdout()
			return withStore(c.Context(), args[0], func(ctx context.Context, s store.Store) error {
				d.store, d.now = s, time.Now()
				if err := d.examine(ctx, args[0]); err != nil {
					return err
				}
				return d.conclude()
			})
		},
	}
	c.Flags().IntVar(&d.limit, "limit", 100_000, "look at no more than `N` records")
	c.Flags().IntVar(&d.maxState, "max-state", 1<<20, "the program's Options.MaxState, in `BYTES`")
	c.Flags().StringVar(&file, "manifest", "", "compare with the program whose manifest, which it prints for -manifest, is in `FILE`")
	jsonFlag(c, &d.json)
	return c
}

// A level says how bad a finding is.
type level string

const (
	fine    level = "ok"
	note    level = "note"
	warning level = "warning" // it counts as wrong
	fault   level = "fault"   // so does this
)

// A finding is what the doctor has to say about one thing.
type finding struct {
	Level level  `json:"level"`
	Topic string `json:"topic"`
	Text  string `json:"text"`
}

// A doctor examines a store.
type doctor struct {
	out      io.Writer
	store    store.Store
	now      time.Time
	limit    int
	maxState int
	program  *program // nil: nothing is known of it
	json     bool

	wrong int
	err   error // the first of writing
}

func (d *doctor) say(l level, topic, format string, args ...any) {
	f := finding{l, topic, fmt.Sprintf(format, args...)}
	if l == warning || l == fault {
		d.wrong++
	}
	var err error
	if d.json {
		err = writeJSON(d.out, f)
	} else {
		_, err = fmt.Fprintf(d.out, "%-8s %-11s %s\n", f.Level, f.Topic, f.Text)
	}
	if d.err == nil {
		d.err = err
	}
}

// conclude turns what was found into the end of the command.
func (d *doctor) conclude() error {
	if d.err != nil {
		return d.err
	}
	switch d.wrong {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("%w: 1 finding", errFound)
	}
	return fmt.Errorf("%w: %d findings", errFound, d.wrong)
}

func (d *doctor) examine(ctx context.Context, name string) error {
	d.features(name)
	d.needs()
	if err := d.clock(ctx, name); err != nil {
		return err
	}
	if err := d.signingKeys(ctx); err != nil {
		return err
	}
	modules, err := d.modules(ctx)
	if err != nil {
		return err
	}
	if err := d.records(ctx, modules); err != nil {
		return err
	}
	return d.expired(ctx)
}

func (d *doctor) features(name string) {
	f := d.store.Features()
	switch scheme, _, _ := strings.Cut(name, ":"); {
	case f.Durable:
		d.say(fine, "durability", "what is answered as stored outlives the store's processes")
	case scheme == "nats" || scheme == "tls":
		d.say(warning, "durability", "the stream has one replica, so a power cut loses what its server has not synced, by default that of two minutes: use three replicas, or sync_interval: always, which the program knows by natsstore.SyncAlways and this command cannot ask for")
	default:
		d.say(warning, "durability", "the store may lose changes that were answered as stored: see the documentation of its package for the settings of its server")
	}
	if f.StaleReads > 0 {
		d.say(warning, "reads", "reads may miss changes of the last %v", f.StaleReads)
	}
	if f.MaxValue > 0 && f.MaxValue < d.maxState {
		d.say(fault, "sizes", "the store takes values of %s at most, and the program's MaxState is %s: stay.New panics", size(f.MaxValue), size(d.maxState))
	}
	if !f.Expire {
		d.say(note, "expiry", "the store does not find expired records: OnExpire cannot be used, and the store itself has to remove them")
	}
}

// clockOff is how far the clock of a server may be off before it matters: records
// expire by the clocks of the programs.
const clockOff = 5 * time.Second

func (d *doctor) clock(ctx context.Context, name string) error {
	before := time.Now()
	server, ok, err := serverTime(ctx, name)
	if err != nil {
		return fmt.Errorf("the time of the server: %w", err)
	}
	if !ok {
		return nil
	}
	took := time.Since(before)
	off := server.Sub(before.Add(took / 2)).Abs()
	if off > clockOff+took {
		d.say(warning, "clock", "the clocks of the server and of this machine differ by %v: sessions expire too early or too late; run NTP on both", off.Round(time.Millisecond))
	} else {
		d.say(fine, "clock", "the clocks of the server and of this machine agree within %v", (off + took).Round(time.Millisecond))
	}
	return nil
}

// oldKey is how old the newest signing key may be: keys are replaced by themselves
// every 30 days.
const oldKey = 60 * 24 * time.Hour

func (d *doctor) signingKeys(ctx context.Context) error {
	rec, err := load(ctx, d.store, keyspace.SigningKeys)
	if err != nil {
		return err
	}
	if rec.Revision == 0 {
		d.say(note, "keys", "there are no signing keys: the program has its own (Options.Keys), or has never served a session from this store")
		return nil
	}
	var keys struct {
		Keys []struct {
			Added int64 `json:"added"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(rec.Value, &keys); err != nil || len(keys.Keys) == 0 {
		d.say(fault, "keys", "the record of the signing keys cannot be read: cookies cannot be verified; restore it from a backup")
		return nil //nolint:nilerr // it was told
	}
	var newest int64
	for _, k := range keys.Keys {
		newest = max(newest, k.Added)
	}
	age := d.now.Sub(time.UnixMilli(newest))
	switch {
	case newest == 0:
		d.say(note, "keys", "%s; their age is not known", count(len(keys.Keys), "signing key"))
	case age > oldKey:
		d.say(note, "keys", "the newest of %s is %d days old: no program has replaced it, so none has run lately", count(len(keys.Keys), "signing key"), int(age.Hours()/24))
	default:
		d.say(fine, "keys", "%s, the newest %d days old", count(len(keys.Keys), "signing key"), int(age.Hours()/24))
	}
	return nil
}

// modules reads which modules programs have registered, with the day on which each
// was last seen.
func (d *doctor) modules(ctx context.Context) (map[string]time.Time, error) {
	rec, err := load(ctx, d.store, keyspace.Modules)
	if err != nil {
		return nil, err
	}
	seen := map[string]time.Time{}
	if rec.Revision == 0 {
		return seen, nil
	}
	var list struct {
		Modules map[string]struct {
			Seen int64 `json:"seen"`
		} `json:"modules"`
	}
	if err := json.Unmarshal(rec.Value, &list); err != nil {
		d.say(fault, "modules", "the list of modules (%s) cannot be read: %v", keyspace.Modules, err)
		return seen, nil
	}
	for prefix, m := range list.Modules {
		seen[prefix] = time.Unix(m.Seen*int64(24*time.Hour/time.Second), 0)
	}
	return seen, nil
}

// A census counts the states of a module.
type census struct {
	records  int
	versions map[int]int
}

// records looks at the records themselves.
func (d *doctor) records(ctx context.Context, modules map[string]time.Time) error {
	states := map[string]*census{}
	kinds := map[string]int{}
	var all, bytes, large, unread, foreign int
	var largest store.Record
	more, err := each(ctx, d.store, "", "", d.limit, func(rec *store.Record) error {
		all++
		bytes += len(rec.Value)
		kinds[kind(rec.Key)]++
		if len(rec.Value) > len(largest.Value) {
			largest = store.Record{Key: rec.Key, Value: rec.Value}
		}
		if len(rec.Value) > d.maxState*8/10 {
			large++
		}
		switch kind(rec.Key) {
		case "unknown":
			foreign++
			return nil
		case "state", "guest":
		default:
			return nil
		}
		if !json.Valid(rec.Value) {
			unread++
		}
		scope, module, _ := keyspace.Split(rec.Key)
		c := states[keyspace.Module(scope, module)]
		if c == nil {
			c = &census{versions: map[int]int{}}
			states[keyspace.Module(scope, module)] = c
		}
		c.records++
		c.versions[rec.Version]++
		return nil
	})
	if err != nil {
		return err
	}
	what := fmt.Sprintf("%s, %s", count(all, "record"), size(bytes))
	if more {
		what = fmt.Sprintf("the first %s, %s; --limit looks at more", count(all, "record"), size(bytes))
	}
	d.say(fine, "records", "%s; %s, %s", what, count(kinds["session"], "session"), count(kinds["user"], "user"))
	if large > 0 {
		d.say(warning, "sizes", "%s over 80 %% of MaxState (%s), the largest %s with %s: changes that make them larger will fail",
			count(large, "record"), size(d.maxState), printable(largest.Key), size(len(largest.Value)))
	}
	if unread > 0 {
		d.say(fault, "values", "%s no JSON: their states cannot be read; see stay inspect", are(unread, "state"))
	}
	if foreign > 0 {
		d.say(warning, "records", "%s not Stay's: something else writes into the store", are(foreign, "record"))
	}
	if n := kinds["expired, set aside"]; n > 0 {
		d.say(warning, "expiry", "%s set aside, because OnExpire failed again and again: see stay inspect list STORE stay/expired/", are(n, "expired state"))
	}
	for _, prefix := range slices.Sorted(maps.Keys(states)) {
		d.module(prefix, states[prefix], modules)
		d.compare(prefix, states[prefix])
	}
	return nil
}

func (d *doctor) module(prefix string, c *census, modules map[string]time.Time) {
	versions := slices.Sorted(maps.Keys(c.versions))
	text := count(c.records, "state")
	if len(versions) > 1 {
		var parts []string
		for _, v := range versions {
			parts = append(parts, fmt.Sprintf("%d of version %d", c.versions[v], v))
		}
		text += " (" + strings.Join(parts, ", ") + "; older ones are migrated when they are used)"
	}
	seen, ok := modules[prefix]
	scope, name, _ := keyspace.Split(prefix)
	if scope == keyspace.Guest && !ok { // the module is listed as what the guest may become
		for _, scope := range []string{keyspace.User, keyspace.Key, keyspace.Session} {
			if is, listed := modules[keyspace.Module(scope, name)]; listed && is.After(seen) {
				seen, ok = is, true
			}
		}
	}
	prefix = printable(prefix)
	switch {
	case !ok && scope == keyspace.Global:
		// Programs list only the modules that others have to know of.
		d.say(fine, "modules", "%s: %s", prefix, text)
	case ok && d.now.Sub(seen) > 7*24*time.Hour:
		d.say(warning, "modules", "%s: %s; no program has registered it since %s: register it, with Formerly if it has another name now, or let it expire", prefix, text, seen.Format(time.DateOnly))
	case ok:
		d.say(fine, "modules", "%s: %s", prefix, text)
	default:
		d.say(warning, "modules", "%s: %s; no program has registered it in the last 60 days: if its module has another name now, say so with Formerly", prefix, text)
	}
}

// overdue is how long ago a record may have expired that is still there: programs
// remove what has expired every few minutes.
const overdue = time.Hour

func (d *doctor) expired(ctx context.Context) error {
	if !d.store.Features().Expire {
		return nil
	}
	recs, err := d.store.Expired(ctx, d.now.Add(-overdue), pageSize)
	switch {
	case err != nil:
		return err
	case len(recs) == pageSize:
		d.say(warning, "expiry", "at least %d records expired more than an hour ago and are still there: a program that runs removes them", len(recs))
	case len(recs) > 0:
		d.say(note, "expiry", "%s more than an hour ago and still there: a program that runs removes them", count(len(recs), "record that expired"))
	}
	return nil
}

func size(bytes int) string { return humanize.IBytes(uint64(max(0, bytes))) } //nolint:gosec // not negative

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return humanize.Comma(int64(n)) + " " + what + "s"
}

func are(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return count(n, what) + " are"
}
