package storetest

import (
	"fmt"
	"strings"

	"github.com/stay-go/stay/store"
)

// What failures print: short, with keys quoted because they are any bytes.

func describe(g store.Group) string {
	parts := make([]string, len(g))
	for i, w := range g {
		op := [...]string{"put", "delete", "check"}[min(w.Op, store.Check)]
		parts[i] = fmt.Sprintf("%s %s on %d", op, keyText(w.Key), w.Base)
		if !w.Expires.IsZero() {
			parts[i] += " expiring " + w.Expires.UTC().Format("15:04:05.000")
		}
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func resultText(res store.Result) string {
	switch res.Outcome {
	case store.Applied:
		return fmt.Sprintf("applied %d", res.Revisions)
	case store.Conflict:
		parts := make([]string, len(res.Current))
		for i, rec := range res.Current {
			parts[i] = recordText(rec)
		}
		return "conflict with [" + strings.Join(parts, ", ") + "]"
	default:
		return fmt.Sprintf("%s (%v)", res.Outcome, res.Err)
	}
}

func recordText(rec store.Record) string {
	if rec.Revision == 0 {
		return keyText(rec.Key) + " absent"
	}
	return fmt.Sprintf("%s at revision %d", keyText(rec.Key), rec.Revision)
}

func keyText(key string) string {
	if len(key) > 40 {
		return fmt.Sprintf("%q...(%d bytes)", key[:20], len(key))
	}
	return fmt.Sprintf("%q", key)
}

func bytesText(b []byte) string {
	if len(b) > 60 {
		return fmt.Sprintf("%q...(%d bytes)", b[:30], len(b))
	}
	return fmt.Sprintf("%q", b)
}
