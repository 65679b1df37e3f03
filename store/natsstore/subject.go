package natsstore

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/stay-go/stay/store"
)

// Parts of subjects after the store's name.
const (
	ofRecord  = ".r." // and three parts of a key: a record, or the mark of one that was deleted
	ofCheck   = ".c." // and the store, and a place: a message that only has a condition
	ofBarrier = ".b." // and the store: what a Load writes first
)

const (
	// keyParts is how many parts a key has. Keys of Stay begin with a kind and the
	// name of a module, each with a slash, so List asks for those of a module alone.
	keyParts = 3

	// noPart stands for a part that is not there. It is no base64.
	noPart = "_"
)

var part64 = base64.RawURLEncoding.Strict()

// subjectOf returns the subject on which the record of a key is the last message.
func (s *Store) subjectOf(key string) string {
	var b strings.Builder
	b.WriteString(s.name)
	b.WriteString(ofRecord)
	parts := strings.SplitAfterN(key, "/", keyParts)
	for i := range keyParts {
		if i > 0 {
			b.WriteByte('.')
		}
		if i >= len(parts) || parts[i] == "" {
			b.WriteString(noPart)
			continue
		}
		b.WriteString(part64.EncodeToString([]byte(parts[i])))
	}
	return b.String()
}

// filterFor returns the subjects on which all records are whose keys begin with
// prefix. Others may be there too.
func (s *Store) filterFor(prefix string) string {
	filter := s.name + ofRecord
	for i, part := range strings.SplitAfterN(prefix, "/", keyParts) {
		if i == keyParts-1 || !strings.HasSuffix(part, "/") {
			break
		}
		filter += part64.EncodeToString([]byte(part)) + "."
	}
	return filter + ">"
}

// errForeign is the cause when something else is found in the place of a record.
var errForeign = errors.New("a message that is no record")

// keyOf returns the key whose record is on a subject.
func (s *Store) keyOf(subject string) (string, error) {
	text, ok := strings.CutPrefix(subject, s.name+ofRecord)
	parts := strings.Split(text, ".")
	if !ok || len(parts) != keyParts {
		return "", errSubject
	}
	var key strings.Builder
	for _, part := range parts {
		if part == noPart {
			continue
		}
		b, err := part64.DecodeString(part)
		if err != nil {
			return "", errSubject
		}
		key.Write(b)
	}
	if s.subjectOf(key.String()) != subject || key.Len() == 0 {
		return "", errSubject
	}
	return key.String(), nil
}

// errSubject does not show the subject, which may have somebody's name.
var errSubject = fmt.Errorf("natsstore: %w: %w: its subject has another form", store.ErrCorrupt, errForeign)
