package cloudflarestore

import (
	"time"

	"github.com/stay-go/stay/store"
)

// These are the parts of what is said to the Worker. Bytes are in base64. What an
// object is asked for names it, and where the answer may be long, says how many
// bytes it may have, and whether the object is the only one that is asked: that one
// answers something whatever its size.

type layoutCall struct {
	Object string `json:"object"`
	Text   string `json:"text"`
}

type loadCall struct {
	Object string     `json:"object"`
	Reads  []wireRead `json:"reads"`
	Room   int        `json:"room"`
	Sole   bool       `json:"sole"`
}

type commitCall struct {
	Object string        `json:"object"`
	Node   string        `json:"node"`
	Epoch  uint64        `json:"epoch"`
	Raise  bool          `json:"raise"`
	Book   string        `json:"book,omitempty"`
	Groups [][]wireWrite `json:"groups"`
	Room   int           `json:"room"`
	Sole   bool          `json:"sole"`
}

type commitAnswer struct {
	Fenced  bool `json:"fenced"`
	Results []struct {
		Revs    []store.Revision `json:"revs"`
		Current []wireRecord     `json:"current"`
		Failed  string           `json:"failed"`
	} `json:"results"`
}

type expiredCall struct {
	Object string `json:"object"`
	Book   string `json:"book,omitempty"`
	Now    int64  `json:"now"`
	Limit  int    `json:"limit"`
}

type dueCall struct {
	Object string `json:"object"`
	Now    int64  `json:"now"`
	Limit  int    `json:"limit"`
}

type listCall struct {
	Object string `json:"object"`
	Now    int64  `json:"now"`
	From   []byte `json:"from"`
	Below  []byte `json:"below"` // nil: no end
	Limit  int    `json:"limit"`
}

type wireRead struct {
	Key  []byte `json:"key"`
	Have int64  `json:"have"`
}

type wireWrite struct {
	Op      store.Op `json:"op"`
	Key     []byte   `json:"key"`
	Base    int64    `json:"base"`
	Expires *int64   `json:"expires,omitempty"`
	Version int      `json:"version,omitempty"`
	Meta    []byte   `json:"meta,omitempty"`
	Value   []byte   `json:"value,omitempty"`
}

// A wireRecord has no Value if it stands for a revision alone.
type wireRecord struct {
	Rev     store.Revision `json:"rev"`
	Expires *int64         `json:"expires"`
	Version int            `json:"version"`
	Meta    []byte         `json:"meta"`
	Value   []byte         `json:"value"`
}

// number is a revision as JavaScript can count it. No record has one beyond that.
func number(r store.Revision) int64 {
	if r >= 1<<53 {
		return -1
	}
	return int64(r)
}

func encode(g store.Group) []wireWrite {
	writes := make([]wireWrite, len(g))
	for i := range g {
		w := &g[i]
		writes[i] = wireWrite{Op: w.Op, Key: []byte(w.Key), Base: number(w.Base)}
		if w.Op != store.Put {
			continue
		}
		writes[i].Version, writes[i].Meta, writes[i].Value = w.Version, w.Meta, w.Value
		if !w.Expires.IsZero() {
			ms := w.Expires.UnixMilli()
			writes[i].Expires = &ms
		}
	}
	return writes
}

func (r *wireRecord) record(key string) store.Record {
	rec := store.Record{Key: key, Revision: r.Rev, Version: r.Version, Meta: r.Meta, Value: r.Value}
	if r.Expires != nil {
		rec.Expires = time.UnixMilli(*r.Expires).UTC()
	}
	return rec
}

// sizeOf is about how many bytes a group takes on its way.
func sizeOf(g store.Group) (size int) {
	for i := range g {
		size += 100 + (len(g[i].Key)+len(g[i].Value)+len(g[i].Meta))*4/3
	}
	return size
}
