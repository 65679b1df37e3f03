package sse

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
)

// A Print stands for the bytes of one part. Zero is the print of no bytes: the
// page does not have the part, or nobody knows what it has of it.
type Print uint64

// PrintOf returns the print of a part: 64 bits of SHA-256. It follows from the
// bytes alone, and so it is the same in each process, of each release and after a
// restore; a number that counts changes would not be.
func PrintOf(id string, body []byte) Print {
	h := sha256.New()
	_, _ = h.Write([]byte(id))
	_, _ = h.Write([]byte{0}) // no id has a zero byte
	_, _ = h.Write(body)
	var sum [sha256.Size]byte
	return max(Print(binary.BigEndian.Uint64(h.Sum(sum[:0]))), 1)
}

// An ID says what a page has of each of its parts, in their order. In an event
// stream it is one word, with eleven characters for each part.
type ID []Print

const width = 11 // 64 bits in base64

var encoding = base64.RawURLEncoding.Strict()

// Size is how many bytes Append appends.
func (v ID) Size() int { return len("id: \n\n") + width*len(v) }

// Append appends the block that ends a burst.
func (v ID) Append(dst []byte) []byte {
	dst = append(dst, "id: "...)
	for _, p := range v {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], uint64(p))
		dst = encoding.AppendEncode(dst, b[:])
	}
	return append(dst, "\n\n"...)
}

// Parse sets v to the prints that an id of Append names. It reports false and
// sets all of v to zero if the text is no such id, or one of another number of
// parts: it comes from the client, from an older release or from another page.
func (v ID) Parse(text string) bool {
	clear(v)
	if len(v) == 0 || len(text) != width*len(v) {
		return false
	}
	for i := range v {
		var b [width]byte // eight bytes and what the decoder asks for
		n, err := encoding.Decode(b[:], []byte(text[i*width:(i+1)*width]))
		if err != nil || n != 8 {
			clear(v)
			return false
		}
		v[i] = Print(binary.BigEndian.Uint64(b[:8]))
	}
	return true
}
