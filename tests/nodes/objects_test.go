package nodes_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stay-go/stay/internal/storekit"
	"github.com/stay-go/stay/internal/workerd"
	"github.com/stay-go/stay/store/cloudflarestore"
)

// secret is that of the Worker.
const secret = "the-secret-of-the-tests"

// A layout says how records are divided among Durable Objects.
type layout struct {
	name   string
	shards int // 0: each home has an object for itself
}

var (
	oneObject     = layout{"one object", 1}
	eightObjects  = layout{"eight objects", 8}
	objectPerHome = layout{"an object per home", 0}
)

// urlBy is what a node opens at an address.
func (l layout) urlBy(address string) string {
	return fmt.Sprintf("cloudflare:http://%s/?shards=%d", address, l.shards)
}

// objects is a workerd that keeps the records of all nodes.
type objects struct{ *workerd.Server }

// evictable is the Worker as it is deployed, and one that evicts the objects that
// were written last when it is asked to: what they have in memory is gone, and so is
// what they had not answered.
func evictable() workerd.Worker {
	return workerd.Worker{
		Class: "StayRecords", Binding: "STAY", Texts: map[string]string{"STAY_SECRET": secret},
		Modules: map[string]string{"worker.js": cloudflarestore.Worker(), "main.js": `
import worker, { StayRecords as Deployed } from "worker.js";
const written = new Set(); // ids, the last ones at the end
const note = (id) => { written.delete(id); written.add(id); };
export class StayRecords extends Deployed {
  commit(call) {
    note(this.ctx.id.toString());
    return super.commit(call);
  }
  note(call) {
    note(this.ctx.id.toString());
    return super.note(call);
  }
  evict() { this.ctx.abort("evicted"); }
}
export default {
  async fetch(request, env) {
    if (new URL(request.url).pathname !== "/evict") return worker.fetch(request, env);
    const ids = [...written].slice(-32);
    const evict = (id) => env.STAY.get(env.STAY.idFromString(id)).evict();
    const ended = await Promise.allSettled(ids.map(evict));
    return new Response(String(ended.filter((e) => e.status === "rejected").length));
  },
}`},
	}
}

// newObjects starts a server whose objects are in memory: each is a file that is
// synced, which takes a disk long, and the machine does not fail here.
func newObjects(t *testing.T) (objects, error) {
	t.Helper()
	dir, err := os.MkdirTemp(storekit.Memory(), "stay-nodes-objects-")
	if err != nil {
		return objects{}, err
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s, err := workerd.New(dir, evictable())
	return objects{s}, err
}

// Start implements server.
func (o objects) Start() error { return o.Server.Start(evictable()) }

// evict has the objects go that were written last, and returns how many went.
func (o objects) evict(t *testing.T) (n int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, o.URL()+"evict", nil)
	check(t, err)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0 // the server has failed meanwhile
	}
	defer resp.Body.Close()
	_, err = fmt.Fscan(resp.Body, &n)
	check(t, err)
	return n
}

// objectFaults are those of machines, and that objects are evicted while they are
// asked.
var objectFaults = append(slices.Clone(machineFaults), fault{
	"objects are evicted", func(r *run, _ *node, random *rand.Rand) {
		evicted := 0
		late := time.Now().Add(patience)
		for i := 0; i < 5 || evicted == 0 && time.Now().Before(late); i++ { // at first, or in another fault, nothing is written
			evicted += r.c.servers[0].(objects).evict(r.c.t)
			pause(between(random, 1, 150))
		}
		r.evicted.Add(int64(evicted))
	},
})

// Several nodes on Durable Objects are one application as well, however the records
// are divided among objects, while the server crashes and comes back with what was
// stored, objects are evicted, and calls to the Worker are held up and cut.
//
// Proves A5, A17, C1, C2, C6, E1, E5, K2, S5, N1.
func TestSoakNodesOnDurableObjects(t *testing.T) {
	t.Parallel()
	layouts := []layout{oneObject, objectPerHome}
	if soak() {
		layouts = append(layouts, eightObjects)
	}
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel() // each waits for most of its time
			s := brisk
			s.objects = &l
			evicted := soakNodes(t, s).evicted.Load()
			if t.Logf("%d objects were evicted", evicted); evicted == 0 {
				t.Error("nothing was evicted")
			}
		})
	}
}
