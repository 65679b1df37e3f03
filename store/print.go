package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
)

// Records, writes and reads are printed for logs. Logs must hold neither the
// names of users, which are in keys, nor their data.

// String describes the record without its key, value and meta: it prints the
// first 12 digits of the key's SHA-256, and the lengths of the other two.
func (r Record) String() string {
	return fmt.Sprintf("record %s, revision %d, version %d, %d bytes, meta of %d bytes, expires %v",
		hashOf(r.Key), r.Revision, r.Version, len(r.Value), len(r.Meta), r.Expires)
}

// Format implements fmt.Formatter: with every verb, a Record is printed as
// [Record.String] does.
func (r Record) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// LogValue implements slog.LogValuer: a Record is logged as [Record.String]
// prints it.
func (r Record) LogValue() slog.Value { return slog.StringValue(r.String()) }

// String describes the write as [Record.String] describes a record.
func (w Write) String() string {
	op := [...]string{"put", "delete", "check"}
	name := "invalid"
	if int(w.Op) < len(op) {
		name = op[w.Op]
	}
	return fmt.Sprintf("%s %s on revision %d, version %d, %d bytes, meta of %d bytes, expires %v",
		name, hashOf(w.Key), w.Base, w.Version, len(w.Value), len(w.Meta), w.Expires)
}

// Format implements fmt.Formatter: with every verb, a Write is printed as
// [Write.String] does.
func (w Write) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, w.String()) }

// LogValue implements slog.LogValuer: a Write is logged as [Write.String]
// prints it.
func (w Write) LogValue() slog.Value { return slog.StringValue(w.String()) }

// String describes the read as [Record.String] describes a record.
func (r Read) String() string { return fmt.Sprintf("read %s, have revision %d", hashOf(r.Key), r.Have) }

// Format implements fmt.Formatter: with every verb, a Read is printed as
// [Read.String] does.
func (r Read) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// LogValue implements slog.LogValuer: a Read is logged as [Read.String] prints
// it.
func (r Read) LogValue() slog.Value { return slog.StringValue(r.String()) }

// Format implements fmt.Formatter, because the pending undo of groups has keys
// and values.
func (s *simpleStore) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "store.FromSimple") }

func hashOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:6])
}
