package schema

// Exact reports whether the value that encoded was made of equals what Decode
// makes of it; then Settle returns a plain copy.
func (s *Schema) Exact(encoded []byte) bool { return s.exact && !replaced(encoded) }
