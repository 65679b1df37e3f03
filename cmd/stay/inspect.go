package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/stay-go/stay/internal/keyspace"
	"github.com/stay-go/stay/store"
)

func newInspect() *cobra.Command {
	c := &cobra.Command{
		Use:   "inspect",
		Short: "Show what a store holds",
		Long: "Show what a store holds. No record is changed.\n\n" +
			"The keys of states are session/MODULE/SESSION, user/MODULE/USER, key/MODULE/KEY and global/MODULE/; those of Stay's own records begin with stay/. " +
			"Values are shown as they are stored, with fields that are private to clients. Signing keys are not shown, and cookies are not in a store.\n\n" +
			"While a program has a SQLite file for itself, its own page of package inspect can show it; this command cannot.\n\n" + storeHelp,
		Args: group,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },

		SuggestionsMinimumDistance: 2,
	}
	c.AddCommand(newList(), newShow(), newHistory())
	return c
}

func newList() *cobra.Command {
	var limit int
	var after string
	var asJSON bool
	c := &cobra.Command{
		Use:   "list STORE [PREFIX]",
		Short: "List records by key",
		Long: "List the records whose keys begin with PREFIX, in the order of their keys. Expired records are left out.\n\n" +
			"A key with unusual characters is shown in double quotes, as in Go, and may be given so. With --json each record is a line.",
		Example: "  stay inspect list sqlite:app.db session/cart/",
		Args:    arguments(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			if limit < 1 {
				return &usageError{errors.New("--limit is at least 1")}
			}
			l := lister{out: c.OutOrStdout(), hints: c.ErrOrStderr(), limit: limit, json: asJSON}
			var err error
			if l.after, err = keyArgument(after); err != nil {
				return err
			}
			if len(args) > 1 {
				if l.prefix, err = keyArgument(args[1]); err != nil {
					return err
				}
			}
			return withStore(c.Context(), args[0], func(ctx context.Context, s store.Store) error {
				l.store = s
				return l.list(ctx)
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", 100, "list at most `N` records")
	c.Flags().StringVar(&after, "after", "", "begin after this `KEY`")
	jsonFlag(c, &asJSON)
	return c
}

func newShow() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:     "show STORE KEY",
		Short:   "Show one record",
		Example: "  stay inspect show sqlite:app.db global/visits/",
		Args:    arguments(2, 2),
		RunE: func(c *cobra.Command, args []string) error {
			key, err := keyArgument(args[1])
			if err != nil {
				return err
			}
			return withStore(c.Context(), args[0], func(ctx context.Context, s store.Store) error {
				rec, err := load(ctx, s, key)
				if err != nil {
					return err
				}
				if rec.Revision == 0 {
					return fmt.Errorf("no record has the key %s", printable(key))
				}
				return show(c.OutOrStdout(), &rec, asJSON)
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func newHistory() *cobra.Command {
	var asJSON bool
	var count int
	c := &cobra.Command{
		Use:   "history STORE KEY",
		Short: "Show a record, and what becomes of it",
		Long: "Show a record as it is, and again after each change until the command is interrupted or has shown it --count times.\n\n" +
			"A store keeps no earlier versions, so the history begins now. To interrupt it is its usual end, with exit code 0. Changes that follow each other within a moment may be shown as one.",
		Example: "  stay inspect history postgres://app@db.example.com/app global/visits/",
		Args:    arguments(2, 2),
		RunE: func(c *cobra.Command, args []string) error {
			key, err := keyArgument(args[1])
			if err != nil {
				return err
			}
			return withStore(c.Context(), args[0], func(ctx context.Context, s store.Store) error {
				err := history(ctx, s, key, count, func(rec *store.Record) error {
					return showVersion(c.OutOrStdout(), rec, time.Now(), asJSON)
				})
				if ctx.Err() != nil {
					return nil // it was interrupted, as it says it may be
				}
				return err
			})
		},
	}
	c.Flags().IntVar(&count, "count", 0, "end after `N` versions; 0 = never")
	jsonFlag(c, &asJSON)
	return c
}

func jsonFlag(c *cobra.Command, to *bool) {
	c.Flags().BoolVar(to, "json", false, "print JSON")
}

// withStore opens a store that has to be there, for a command that only reads.
func withStore(ctx context.Context, name string, fn func(context.Context, store.Store) error) (err error) {
	s, err := openReader(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return fn(ctx, s)
}

func load(ctx context.Context, s store.Store, key string) (store.Record, error) {
	recs, err := s.Load(ctx, []store.Read{{Key: key}})
	if err != nil {
		return store.Record{}, err
	}
	return recs[0], nil
}

// pageSize is how many records are read at once.
const pageSize = 100

// A lister lists records.
type lister struct {
	out, hints    io.Writer
	store         store.Store
	prefix, after string
	limit         int
	json          bool
}

func (l *lister) list(ctx context.Context) error {
	table := tabwriter.NewWriter(l.out, 0, 0, 2, ' ', 0)
	n := 0
	more, err := each(ctx, l.store, l.prefix, l.after, l.limit, func(rec *store.Record) error {
		if l.json {
			return writeJSON(l.out, describe(rec, false))
		}
		if n == 0 {
			if _, err := fmt.Fprintln(table, "SIZE\tVERSION\tEXPIRES\tKEY"); err != nil {
				return err
			}
		}
		n++
		_, err := fmt.Fprintf(table, "%s\t%d\t%s\t%s\n", humanize.Bytes(uint64(len(rec.Value))), rec.Version, expiry(rec), printable(rec.Key))
		return err
	})
	if err := errors.Join(err, table.Flush()); err != nil {
		return err
	}
	if more {
		_, err = fmt.Fprintln(l.hints, "There are more: set a higher --limit, or --after to the last key above.")
	}
	return err
}

// each calls fn for up to limit records, and reports whether there are more.
func each(ctx context.Context, s store.Store, prefix, after string, limit int, fn func(*store.Record) error) (more bool, err error) {
	list, ok := s.(store.Lister)
	if !ok || !s.Features().List {
		return false, errors.New("the store cannot list its keys")
	}
	for limit > 0 {
		keys, err := list.List(ctx, time.Now(), prefix, after, min(limit, pageSize)+1)
		if err != nil {
			return false, err
		}
		more = len(keys) > min(limit, pageSize)
		keys = keys[:min(len(keys), limit, pageSize)]
		reads := make([]store.Read, len(keys))
		for i, key := range keys {
			reads[i].Key = key
		}
		var recs []store.Record
		if len(reads) > 0 {
			if recs, err = s.Load(ctx, reads); err != nil {
				return false, err
			}
		}
		for i := range recs {
			if recs[i].Revision == 0 {
				continue // it was deleted meanwhile
			}
			if err := fn(&recs[i]); err != nil {
				return false, err
			}
		}
		if !more {
			return false, nil
		}
		limit -= len(keys)
		after = keys[len(keys)-1]
	}
	return more, nil
}

// A description is the JSON form of a record.
type description struct {
	Key    string `json:"key"`
	Kind   string `json:"kind"`
	Module string `json:"module,omitempty"`
	Owner  string `json:"owner,omitempty"`
	// Revision is a text: it does not fit a number of JavaScript.
	Revision string     `json:"revision"`
	Version  int        `json:"version"`
	Bytes    int        `json:"bytes"`
	Expires  *time.Time `json:"expires,omitempty"`
	// Value is there when the record is shown, and is JSON; Raw are its bytes if
	// they are not.
	Value    json.RawMessage `json:"value,omitempty"`
	Raw      []byte          `json:"raw,omitempty"`
	Withheld string          `json:"withheld,omitempty"`
}

func describe(rec *store.Record, value bool) description {
	d := description{
		Key: rec.Key, Kind: kind(rec.Key), Revision: strconv.FormatUint(uint64(rec.Revision), 10),
		Version: rec.Version, Bytes: len(rec.Value),
	}
	if d.Kind == "state" || d.Kind == "guest" {
		_, d.Module, d.Owner = keyspace.Split(rec.Key)
	}
	if !rec.Expires.IsZero() {
		utc := rec.Expires.UTC()
		d.Expires = &utc
	}
	switch {
	case !value:
	case d.Kind == "signing keys":
		d.Withheld = "signing keys are not shown"
	case json.Valid(rec.Value):
		d.Value = rec.Value
	default:
		d.Raw = rec.Value
	}
	return d
}

// kind says what a record is.
func kind(key string) string {
	original := keyspace.Original(key)
	switch scope, _, _ := keyspace.Split(original); {
	case keyspace.IsAside(key):
		return "expired, set aside"
	case key == keyspace.SigningKeys:
		return "signing keys"
	case key == keyspace.Modules:
		return "modules"
	case strings.HasPrefix(key, keyspace.Sessions):
		return "session"
	case strings.HasPrefix(key, keyspace.Users):
		return "user"
	case keyspace.IsSystem(key):
		return "record of Stay"
	case scope == keyspace.Guest:
		return "guest"
	case scope == keyspace.Session || scope == keyspace.User || scope == keyspace.Key || scope == keyspace.Global:
		return "state"
	}
	return "unknown"
}

func show(w io.Writer, rec *store.Record, asJSON bool) error {
	d := describe(rec, true)
	if asJSON {
		return writeJSON(w, d)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range [][2]string{
		{"key", printable(rec.Key)},
		{"kind", d.Kind},
		{"module", printable(d.Module)},
		{"owner", printable(d.Owner)},
		{"revision", d.Revision},
		{"version", strconv.Itoa(d.Version)},
		{"size", humanize.Bytes(uint64(d.Bytes))}, //nolint:gosec // never negative
		{"expires", expiry(rec)},
	} {
		if line[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(table, "%s\t%s\n", line[0], line[1]); err != nil {
			return err
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, valueText(&d, true))
	return err
}

// showVersion is a line of a history.
func showVersion(w io.Writer, rec *store.Record, now time.Time, asJSON bool) error {
	if asJSON {
		return writeJSON(w, struct {
			Seen time.Time `json:"seen"`
			description
		}{now.UTC(), describe(rec, true)})
	}
	if rec.Revision == 0 {
		_, err := fmt.Fprintf(w, "%s  no record\n", now.Format(time.TimeOnly))
		return err
	}
	d := describe(rec, true)
	_, err := fmt.Fprintf(w, "%s  revision %d  %s\n", now.Format(time.TimeOnly), rec.Revision, valueText(&d, false))
	return err
}

func valueText(d *description, indent bool) string {
	switch {
	case d.Withheld != "":
		return "(" + d.Withheld + ")"
	case d.Raw != nil:
		return strconv.Quote(string(d.Raw))
	case indent:
		text, err := json.MarshalIndent(d.Value, "", "  ")
		if err != nil {
			return string(d.Value)
		}
		return string(text)
	}
	return string(d.Value)
}

func expiry(rec *store.Record) string {
	if rec.Expires.IsZero() {
		return "never"
	}
	return rec.Expires.UTC().Format(time.RFC3339)
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
