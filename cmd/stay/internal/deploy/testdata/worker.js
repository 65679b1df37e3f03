import { DurableObject } from "cloudflare:workers";

export class StayRecords extends DurableObject {}

export default { fetch: () => new Response("records") };
