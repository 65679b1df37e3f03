package powercut

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// sector is what a disk writes as a whole.
const sector = 512

// Survival says what is left of that which was not synced.
type Survival struct {
	// Writes is the probability that a sector of a write, or a truncation,
	// reached the disk; 0: none did.
	Writes float64
	// Names: a name may lead to anything that it led to since the folder was
	// synced. Otherwise it leads to what it did then.
	Names bool
	// Garbage: where a file has grown by sectors that did not reach the disk,
	// there is anything instead of zeros, and volatile files are full of it.
	Garbage bool
}

// Cut returns the files of the folder as they may be found after a power cut
// at this moment.
func (d *Disk) Cut(s Survival, random *rand.Rand) map[string][]byte {
	files := map[string][]byte{}
	for _, base := range slices.Sorted(maps.Keys(d.names)) {
		n := d.names[base]
		f := n.synced
		if s.Names && len(n.pending) > 0 {
			if i := random.IntN(len(n.pending) + 1); i > 0 {
				f = n.pending[i-1].to
			}
		}
		if f == nil {
			continue
		}
		files[base] = f.cut(s, random)
		if Volatile(base) && s.Garbage {
			fill(files[base], random)
		}
	}
	return files
}

func (f *file) cut(s Survival, random *rand.Rand) []byte {
	out := slices.Clone(f.synced)
	for _, w := range f.pending {
		if w.data == nil {
			if random.Float64() < s.Writes {
				out = w.apply(out)
			}
			continue
		}
		for from := int64(0); from < int64(len(w.data)); {
			to := min(int64(len(w.data)), from+sector-(w.offset+from)%sector)
			part := write{offset: w.offset + from, data: w.data[from:to]}
			from = to
			if random.Float64() >= s.Writes {
				continue
			}
			was := int64(len(out))
			out = part.apply(out)
			if s.Garbage && part.offset > was {
				fill(out[was:part.offset], random)
			}
		}
	}
	return out
}

// apply returns b with the write in it.
func (w *write) apply(b []byte) []byte {
	size := w.offset + int64(len(w.data))
	if int64(len(b)) < size {
		b = append(b, make([]byte, size-int64(len(b)))...)
	}
	if w.data == nil {
		return b[:size:size]
	}
	copy(b[w.offset:], w.data)
	return b
}

func fill(b []byte, random *rand.Rand) {
	for i := range b {
		b[i] = byte(random.Uint32())
	}
}
