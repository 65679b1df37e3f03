package storetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stay-go/stay/store"
)

var errBroken = errors.New("broken")

var breakages = []breakage{
	{"an absent record is an error", func(b *broken) {
		b.load = func(ctx context.Context, reads []store.Read) ([]store.Record, error) {
			recs, err := b.Store.Load(ctx, reads)
			if slices.ContainsFunc(recs, func(r store.Record) bool { return r.Revision == 0 }) {
				return nil, errBroken
			}
			return recs, err
		}
	}, []string{"C1 absent"}},
	{"records come back sorted", func(b *broken) {
		b.load = func(ctx context.Context, reads []store.Read) ([]store.Record, error) {
			recs, err := b.Store.Load(ctx, reads)
			slices.SortFunc(recs, func(a, b store.Record) int { return strings.Compare(a.Key, b.Key) })
			return recs, err
		}
	}, []string{"C1 order"}},
	{"a call takes a hundred reads", func(b *broken) {
		b.load = func(ctx context.Context, reads []store.Read) ([]store.Record, error) {
			if len(reads) > 100 {
				return nil, errBroken
			}
			return b.Store.Load(ctx, reads)
		}
	}, []string{"C1 many reads"}},
	{"a call without reads is an error", func(b *broken) {
		b.load = func(ctx context.Context, reads []store.Read) ([]store.Record, error) {
			if len(reads) == 0 {
				return nil, errBroken
			}
			return b.Store.Load(ctx, reads)
		}
	}, []string{"C1 nothing asked"}},
	{"Have is ignored", func(b *broken) {
		b.load = func(ctx context.Context, reads []store.Read) ([]store.Record, error) {
			reads = slices.Clone(reads)
			for i := range reads {
				reads[i].Have = 0
			}
			return b.Store.Load(ctx, reads)
		}
	}, []string{"C1 revision held", "Model"}},
	{"Have hides newer records", editRecords(func(r store.Read, rec *store.Record) {
		if r.Have != 0 && rec.Revision != 0 {
			*rec = store.Record{Key: rec.Key, Revision: rec.Revision}
		}
	}), []string{"C1 revision held", "Model"}},
	{"reads lag", lag, []string{"C1 linearizable"}},
	{"meta is dropped", editWrites(func(w *store.Write) { w.Meta = nil }), []string{"C1 whole record", "C6 any value"}},

	{"conditions are ignored", ignoreBase, []string{
		"C2 create", "C2 replace", "C2 delete", "C2 check", "C2 conflict tells",
		"C2 concurrent increments", "C2 concurrent creation", "Model", "Model concurrent",
	}},
	{"old fields shine through", func(b *broken) {
		b.commit = func(ctx context.Context, groups []store.Group) []store.Result {
			groups = cloneGroups(groups, func(w *store.Write) {
				if recs, err := b.Store.Load(ctx, []store.Read{{Key: w.Key}}); err == nil && w.Expires.IsZero() {
					w.Expires = recs[0].Expires
				}
			})
			return b.Store.Commit(ctx, groups)
		}
	}, []string{"C2 replaces whole", "C4 Expired follows changes"}},
	{"conflicts come without values", editResults(func(_ store.Group, res *store.Result) {
		for i := range res.Current {
			res.Current[i].Value = nil
		}
	}), []string{"C2 conflict tells", "C2 group conflict tells"}},
	{"one bad group fails the call", func(b *broken) {
		b.commit = func(ctx context.Context, groups []store.Group) []store.Result {
			results := b.Store.Commit(ctx, groups)
			for _, res := range results {
				if res.Outcome == store.Rejected {
					return slices.Repeat([]store.Result{res}, len(groups))
				}
			}
			return results
		}
	}, []string{"C2 independent groups", "C6 bad keys", "C6 key repeated in a call"}},
	{"a call takes a hundred groups", func(b *broken) {
		b.commit = func(ctx context.Context, groups []store.Group) []store.Result {
			if len(groups) > 100 {
				return slices.Repeat([]store.Result{{Outcome: store.Rejected, Err: errBroken}}, len(groups))
			}
			return b.Store.Commit(ctx, groups)
		}
	}, []string{"C2 many groups"}},
	{"only the first write of a group is applied", func(b *broken) {
		b.commit = func(ctx context.Context, groups []store.Group) []store.Result {
			firsts := make([]store.Group, len(groups))
			for i, g := range groups {
				firsts[i] = g[:min(1, len(g))]
			}
			results := b.Store.Commit(ctx, firsts)
			for i, g := range groups {
				for j := 1; j < len(g) && results[i].Outcome == store.Applied; j++ {
					results[i].Revisions = append(results[i].Revisions, g[j].Base+1)
				}
			}
			return results
		}
	}, []string{"C2 group applied whole"}},
	{"groups are written as they come", writeAsItGoes, []string{
		"C2 group applied not at all", "C6 bad write in a group", "C2 concurrent groups", "C4 expired records in groups",
	}},
	{"groups are accepted but not declared", func(b *broken) {
		b.features = func() store.Features {
			f := b.Store.Features()
			f.Groups = false
			return f
		}
	}, []string{"C2 several writes without groups"}},
	{"groups at one home are written as they come", atHome(writeAsItGoes), []string{"C2 group at home"}},
	{"groups over several homes are accepted", atHome(func(*broken) {}), []string{"C2 group at home"}},
	{"long keys are cut", editWrites(func(w *store.Write) { w.Key = w.Key[:min(len(w.Key), store.MaxKey)] }), []string{"C6 bad keys"}},
	{"the last write of a key wins", func(b *broken) {
		b.commit = func(ctx context.Context, groups []store.Group) []store.Result {
			var once []store.Group
			for _, g := range groups {
				last := map[string]int{}
				for i, w := range g {
					last[w.Key] = i
				}
				var kept store.Group
				for i, w := range g {
					if last[w.Key] == i {
						kept = append(kept, w)
					}
				}
				once = append(once, kept)
			}
			return b.Store.Commit(ctx, once)
		}
	}, []string{"C6 key repeated in a group"}},
	{"groups are calls of their own", func(b *broken) {
		b.commit = func(ctx context.Context, groups []store.Group) []store.Result {
			var results []store.Result
			for i := range groups {
				results = append(results, b.Store.Commit(ctx, groups[i:i+1])...)
			}
			return results
		}
	}, []string{"C6 key repeated in a call"}},
	{"the limit of values is not kept", func(b *broken) {
		b.features = func() store.Features {
			f := b.Store.Features()
			f.MaxValue = 1000
			return f
		}
	}, []string{"C6 value too large"}},

	{"a replacement keeps its revision", editResults(func(g store.Group, res *store.Result) {
		for i := range res.Revisions {
			res.Revisions[i] = g[i].Base
		}
	}), []string{"C3 grows with every put"}},
	{"revisions start over with a key", restartAtDeletion, []string{"C3 grows across deletion", "C3 grows across expiry", "Model"}},
	{"conflicts bump the revision", func(b *broken) {
		b.commit = func(ctx context.Context, groups []store.Group) []store.Result {
			results := b.Store.Commit(ctx, groups)
			for _, res := range results {
				for _, rec := range res.Current {
					b.Store.Commit(ctx, []store.Group{{{
						Key: rec.Key, Base: rec.Revision, Value: rec.Value, Meta: rec.Meta, Version: rec.Version, Expires: rec.Expires,
					}}})
				}
			}
			return results
		}
	}, []string{"C3 only applied puts count", "C2 create"}},

	{"records live a nanosecond too long", editTime(func(t time.Time) time.Time { return t.Add(-1) }), []string{"List present only"}},
	{"records die a nanosecond too early", editTime(func(t time.Time) time.Time { return t.Add(1) }), []string{"List present only"}},
	{"expiry is ignored", editWrites(func(w *store.Write) { w.Expires = time.Time{} }), []string{"C4 milliseconds", "C4 Expired finds", "Model"}},
	{"expired records are hidden", editRecords(func(_ store.Read, rec *store.Record) {
		if rec.Expired(time.Now()) {
			*rec = store.Record{Key: rec.Key}
		}
	}), []string{"C4 expired records are read", "C4 expired records stay", "C4 long ago"}},
	{"expired records count as absent", func(b *broken) {
		b.commit = func(ctx context.Context, groups []store.Group) []store.Result {
			return b.Store.Commit(ctx, cloneGroups(groups, func(w *store.Write) {
				recs, err := b.Store.Load(ctx, []store.Read{{Key: w.Key}})
				switch {
				case err != nil || !recs[0].Expired(time.Now()):
				case w.Base == 0:
					w.Base = recs[0].Revision
				case w.Op != store.Delete:
					w.Base = 0
				}
			}))
		}
	}, []string{"C4 expired records are replaced", "C4 expired records are read", "C4 expired records in groups", "C3 grows across expiry"}},
	{"old records are dropped", func(b *broken) {
		b.load = func(ctx context.Context, reads []store.Read) ([]store.Record, error) {
			recs, err := b.Store.Load(ctx, reads)
			for _, rec := range recs {
				if rec.Expired(time.Now().Add(-time.Minute)) {
					b.Store.Commit(ctx, []store.Group{{del(rec.Key, rec.Revision)}})
				}
			}
			return recs, err
		}
	}, []string{"C4 expired records stay"}},
	{"time only goes forwards", func(b *broken) {
		var mu sync.Mutex
		var latest time.Time
		editTime(func(t time.Time) time.Time {
			mu.Lock()
			defer mu.Unlock()
			if t.After(latest) {
				latest = t
			}
			return latest
		})(b)
	}, []string{"C4 Expired by the time of the call"}},
	{"the store has a clock of its own", editTime(func(time.Time) time.Time { return time.Now() }), []string{
		"C4 Expired by the time of the call", "List present only",
	}},
	{"expiry is kept to the second", editWrites(func(w *store.Write) { w.Expires = w.Expires.Truncate(time.Second) }), []string{"C4 milliseconds"}},
	{"expiry is rounded", editWrites(func(w *store.Write) { w.Expires = w.Expires.Round(time.Millisecond) }), []string{"C4 milliseconds"}},
	{"the epoch means never", editWrites(func(w *store.Write) {
		if w.Expires.Unix() == 0 {
			w.Expires = time.Time{}
		}
	}), []string{"C4 long ago"}},
	{"times are kept without their zone", editWrites(func(w *store.Write) {
		t := w.Expires
		if !t.IsZero() {
			w.Expires = time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
		}
	}), []string{"C4 other time zone"}},
	{"expired records cannot be deleted", func(b *broken) {
		b.commit = func(ctx context.Context, groups []store.Group) []store.Result {
			results := make([]store.Result, 0, len(groups))
			for _, g := range groups {
				late := slices.ContainsFunc(g, func(w store.Write) bool {
					recs, err := b.Store.Load(ctx, []store.Read{{Key: w.Key}})
					return w.Op == store.Delete && err == nil && recs[0].Expired(time.Now())
				})
				if late {
					results = append(results, store.Result{Outcome: store.Conflict, Current: absent(g)})
					continue
				}
				results = append(results, b.Store.Commit(ctx, []store.Group{g})...)
			}
			return results
		}
	}, []string{"C4 expired records are replaced", "C4 expired records are deleted once", "C4 expired records in groups"}},
	{"a delete of nothing succeeds", editResults(func(g store.Group, res *store.Result) {
		if res.Outcome == store.Conflict && len(g) == 1 && g[0].Op == store.Delete && res.Current[0].Revision == 0 {
			*res = store.Result{Outcome: store.Applied, Revisions: []store.Revision{0}}
		}
	}), []string{"C4 expired records are deleted once", "C4 expired records are replaced", "C2 delete"}},

	{"Expired returns what lives", func(b *broken) {
		b.expired = func(ctx context.Context, now time.Time, limit int) ([]store.Record, error) {
			return b.Store.Expired(ctx, now.Add(48*time.Hour), limit)
		}
	}, []string{"C4 Expired finds"}},
	{"Expired returns keys only", func(b *broken) {
		b.expired = func(ctx context.Context, now time.Time, limit int) ([]store.Record, error) {
			recs, err := b.Store.Expired(ctx, now, limit)
			for i := range recs {
				recs[i] = store.Record{Key: recs[i].Key, Revision: recs[i].Revision}
			}
			return recs, err
		}
	}, []string{"C4 Expired finds", "Model"}},
	{"Expired ignores the limit", func(b *broken) {
		b.expired = func(ctx context.Context, now time.Time, _ int) ([]store.Record, error) {
			return b.Store.Expired(ctx, now, 1<<30)
		}
	}, []string{"C4 Expired honours the limit"}},
	{"Expired takes what it returns", func(b *broken) {
		b.expired = func(ctx context.Context, now time.Time, limit int) ([]store.Record, error) {
			recs, err := b.Store.Expired(ctx, now, limit)
			for _, rec := range recs {
				b.Store.Commit(ctx, []store.Group{{del(rec.Key, rec.Revision)}})
			}
			return recs, err
		}
	}, []string{"C4 Expired changes nothing"}},
	{"Expired works but is not declared", func(b *broken) {
		b.features = func() store.Features {
			f := b.Store.Features()
			f.Expire = false
			return f
		}
	}, []string{"C4 without Expire"}},

	{"keys end at a zero byte", editKeys(func(key string) string { return strings.SplitN(key, "\x00", 2)[0] + "." }), []string{"C6 any key"}},
	{"keys are folded", editKeys(strings.ToLower), []string{"C6 any key"}},
	{"keys are made valid text", editKeys(func(key string) string { return strings.ToValidUTF8(key, "?") }), []string{"C6 any key"}},
	{"values are trimmed", editWrites(func(w *store.Write) { w.Value = bytes.TrimSpace(w.Value) }), []string{"C6 any value"}},
	{"meta ends at 4 KiB", editWrites(func(w *store.Write) { w.Meta = w.Meta[:min(len(w.Meta), 1<<12)] }), []string{"C6 large value"}},
	{"values end at 64 KiB", editWrites(func(w *store.Write) { w.Value = w.Value[:min(len(w.Value), 1<<16)] }), []string{"C6 large value"}},
	{"versions have eight bits", editWrites(func(w *store.Write) { w.Version &= 255 }), []string{"C6 any version"}},
	{"a buffer is reused", reuseBuffer, []string{"C6 slices stay as they are"}},

	{"a cancelled write is applied and rejected", func(b *broken) {
		b.commit = func(ctx context.Context, groups []store.Group) []store.Result {
			results := b.Store.Commit(context.WithoutCancel(ctx), groups)
			if ctx.Err() != nil {
				return slices.Repeat([]store.Result{{Outcome: store.Rejected, Err: ctx.Err()}}, len(groups))
			}
			return results
		}
	}, []string{"C6 cancelled before the call"}},
	{"cancelling cuts a group short", func(b *broken) {
		b.commit = func(ctx context.Context, groups []store.Group) []store.Result {
			if !endsSoon(ctx) || len(groups[0]) < 2 {
				return b.Store.Commit(ctx, groups)
			}
			b.Store.Commit(context.WithoutCancel(ctx), []store.Group{groups[0][:1]})
			<-ctx.Done()
			return []store.Result{{Outcome: store.Unknown, Err: ctx.Err()}}
		}
	}, []string{"C6 cancelled during the call"}},
	{"a cancelled write comes after those that follow it", func(b *broken) {
		var mu sync.Mutex
		var late []store.Group
		b.commit = func(ctx context.Context, groups []store.Group) []store.Result {
			mu.Lock()
			defer mu.Unlock()
			if endsSoon(ctx) {
				late = slices.Clone(groups)
				return slices.Repeat([]store.Result{{Outcome: store.Unknown, Err: errBroken}}, len(groups))
			}
			results := b.Store.Commit(ctx, groups)
			if late != nil && groups[0][0].Op == store.Delete {
				b.Store.Commit(ctx, late)
				late = nil
			}
			return results
		}
	}, []string{"C6 cancelled calls do not come after later ones"}},
	{"cancelling breaks the store", func(b *broken) {
		var mu sync.Mutex
		var dead error
		b.load = func(ctx context.Context, reads []store.Read) ([]store.Record, error) {
			mu.Lock()
			defer mu.Unlock()
			if endsSoon(ctx) {
				<-ctx.Done()
				dead = ctx.Err()
			}
			if dead != nil {
				return nil, dead
			}
			return b.Store.Load(ctx, reads)
		}
	}, []string{"C6 works after cancelled calls"}},
}
