package pgstore

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/stay-go/stay/store"
)

const (
	// maxPayload is how long a notification may be: PostgreSQL takes less than
	// 8,000 bytes.
	maxPayload = 7999

	// maxPayloads is how many notifications announce changes one by one. More of
	// them cost listeners more than to compare what they show.
	maxPayloads = 32

	// lostPayload is the notification that others are missing. It is the form of no
	// change.
	lostPayload = "lost"
)

// payloads returns the notifications for changes: a list of keys and revisions
// each.
func payloads(changes []store.Change, lost bool) []string {
	if lost {
		return []string{lostPayload}
	}
	var all []string
	var b strings.Builder
	for i := range changes {
		one := base64.RawURLEncoding.EncodeToString([]byte(changes[i].Key)) + ":" + strconv.FormatUint(uint64(changes[i].Revision), 36)
		if b.Len() > 0 && b.Len()+1+len(one) > maxPayload {
			all = append(all, b.String())
			b.Reset()
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(one)
	}
	all = append(all, b.String())
	if len(all) > maxPayloads {
		return []string{lostPayload}
	}
	return all
}

// parsePayload is the inverse of payloads. Anything in another form is lost.
func parsePayload(text string) (changes []store.Change, lost bool) {
	for one := range strings.SplitSeq(text, ",") {
		key, rev, _ := strings.Cut(one, ":")
		k, err := base64.RawURLEncoding.DecodeString(key)
		r, bad := strconv.ParseUint(rev, 36, 64)
		if err != nil || bad != nil {
			return nil, true
		}
		changes = append(changes, store.Change{Key: string(k), Revision: store.Revision(r)})
	}
	return changes, false
}
