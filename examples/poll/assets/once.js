// The headers of an action: an id for each click. Datastar sends a request that had no
// answer again as it was, and the server counts an id once.
const once = () => ({"Idempotency-Key": crypto.getRandomValues(new Uint32Array(4)).join("-")})
