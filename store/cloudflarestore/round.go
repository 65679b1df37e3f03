package cloudflarestore

const (
	// maxCalls bounds how many objects one request asks.
	maxCalls = 128

	// maxRoom bounds the answers to one request, in bytes, unless a single record or
	// conflict is larger: the Worker has them in its memory.
	maxRoom = 16 << 20
)

// A job is what one object is asked for, as places in what the caller has given.
type job struct {
	object string
	places []int
}

// divide makes a job for each object that has one of n keys.
func (s *Store) divide(n int, key func(i int) string) []*job {
	var jobs []*job
	byObject := make(map[string]*job)
	for i := range n {
		object := s.places.of(key(i))
		j := byObject[object]
		if j == nil {
			j = &job{object: object}
			byObject[object] = j
			jobs = append(jobs, j)
		}
		j.places = append(j.places, i)
	}
	return jobs
}

// inRounds has jobs done by requests one after the other. do is given some of them
// and takes away the places that it is done with. If it is done with none, there was
// no room for any of the answers, and it gets fewer jobs. It has to be done with
// something of a single one.
func inRounds(jobs []*job, do func(some []*job) error) error {
	width := maxCalls
	for {
		open := jobs[:0]
		for _, j := range jobs {
			if len(j.places) > 0 {
				open = append(open, j)
			}
		}
		if jobs = open; len(jobs) == 0 {
			return nil
		}
		some := jobs[:min(width, len(jobs))]
		before := count(some)
		if err := do(some); err != nil {
			return err
		}
		width = maxCalls
		if count(some) == before {
			width = max(1, len(some)/8)
		}
	}
}

func count(jobs []*job) (n int) {
	for _, j := range jobs {
		n += len(j.places)
	}
	return n
}
