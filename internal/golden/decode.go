package golden

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// decode reads one JSON value. Names that dst does not have are errors: what
// this package does not know it must not pass over.
func decode(raw []byte, dst any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(dst); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON value")
	}
	return nil
}

// decodeKind reads the word under the key "op", which says what else there is.
func decodeKind(raw []byte) (string, error) {
	var kind struct {
		Op *string `json:"op"`
	}
	if err := json.Unmarshal(raw, &kind); err != nil {
		return "", err
	}
	if kind.Op == nil {
		return "", fmt.Errorf("no op in %s", raw)
	}
	return *kind.Op, nil
}

// need returns an error that names the keys that are missing; present tells of
// each whether it is there.
func need(present map[string]bool) error {
	var missing []string
	for name, there := range present {
		if !there {
			missing = append(missing, name)
		}
	}
	if missing == nil {
		return nil
	}
	slices.Sort(missing)
	return fmt.Errorf("missing or empty: %s", strings.Join(missing, ", "))
}

// canonical returns JSON in the one form in which equal values have equal
// text: compact, with sorted names.
func canonical(raw []byte) (string, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return "", fmt.Errorf("%q is not JSON: %w", raw, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("%q is more than one JSON value", raw)
	}
	b, err := json.Marshal(v)
	return string(b), err
}

func isNull(raw []byte) bool { return string(bytes.TrimSpace(raw)) == "null" }
