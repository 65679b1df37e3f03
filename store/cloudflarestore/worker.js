// Keeps Stay's records in Durable Objects. The Go package cloudflarestore has this
// file in it, and talks to it over HTTP: one request asks any number of objects.
// It is deployed as it is; the types are comments.

import { DurableObject } from "cloudflare:workers";

/**
 * @typedef {object} Env what the Worker is bound to
 * @property {DurableObjectNamespace<StayRecords>} STAY the objects
 * @property {string} [STAY_SECRET] what programs have to know
 * @property {string} [STAY_SECRET_OLD] what they may know instead, while it is changed
 *
 * @typedef {object} Read
 * @property {string} key in base64, like all bytes
 * @property {number} have the revision that the reader has; 0 = none
 *
 * @typedef {object} Write
 * @property {number} op
 * @property {string} key
 * @property {number} base the revision that the record must have; 0 = there is none
 * @property {number | null} [expires] in milliseconds; null = never
 * @property {number} [version]
 * @property {string | null} [meta]
 * @property {string | null} [value]
 *
 * @typedef {object} Rec a record, or only its revision
 * @property {number} rev 0 = there is none
 * @property {number | null} [expires]
 * @property {number} [version]
 * @property {string} [meta]
 * @property {string} [value]
 *
 * @typedef {object} Head what is known of a record without its body
 * @property {number} revision
 * @property {number | null} expires
 * @property {number} size of the body, which is Meta and then Value
 * @property {number} parts how many rows of table parts it has
 *
 * @typedef {object} Result one of these
 * @property {number[]} [revs] the group is applied: the revision of each write
 * @property {Rec[]} [current] it is not, since a record has another revision
 * @property {string} [failed] it is not, and will not be: why
 */

/** The version of what is said between the program and this Worker. */
const format = 1;

/** Bounds a request, in bytes. */
const maxBody = 64 << 20;

/** Bounds a secret from below, in characters. */
const minSecret = 16;

/** Bounds the bytes of a body in one row; a row has 2 MB at most. */
const maxRow = 1 << 20;

/** How long an object is kept when it has no more records, in milliseconds. */
const grace = 60_000;

/** How long a fence is kept, in milliseconds. Nothing is under way for so long. */
const fenceTime = 86_400_000;

/** Bounds the changes in one announcement. */
const maxAnnounced = 256;

const PUT = 0, DELETE = 1, CHECK = 2;

/**
 * The tables, which an object makes when it needs them: each takes room. Marks are
 * the floor, which is at least the revision of every record that was deleted, and
 * told, which is when a book knows that the first record expires. Homes is that book.
 * About says how the store divides its records, or what the object and its book are
 * called.
 * @type {Record<string, string>}
 */
const tables = {
  records: `CREATE TABLE records (key BLOB PRIMARY KEY, revision INTEGER NOT NULL, expires INTEGER, version INTEGER NOT NULL,
    meta INTEGER NOT NULL, size INTEGER NOT NULL, parts INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
    CREATE INDEX expires ON records (expires) WHERE expires IS NOT NULL`,
  parts: `CREATE TABLE parts (key BLOB, n INTEGER, body BLOB NOT NULL, PRIMARY KEY (key, n)) WITHOUT ROWID`,
  marks: `CREATE TABLE marks (name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID`,
  fences: `CREATE TABLE fences (node TEXT PRIMARY KEY, epoch INTEGER NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID`,
  about: `CREATE TABLE about (id INTEGER PRIMARY KEY CHECK (id = 1), text TEXT NOT NULL)`,
  homes: `CREATE TABLE homes (object TEXT PRIMARY KEY, at INTEGER NOT NULL, number INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX at ON homes (at)`,
};

/** An object keeps the records of one home, or those of many. */
export class StayRecords extends DurableObject {
  /** @param {DurableObjectState} ctx @param {Env} env */
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    // An object that nobody has written to has no tables: to ask for a record that
    // does not exist must not fill the account.
    this.tables = new Set(this.rows(`SELECT name FROM sqlite_master WHERE type = 'table'`).map((row) => row.name));
    /** @type {number | null | undefined} when the alarm rings; undefined = not known */
    this.alarmAt = undefined;
    /** @type {Set<{at: number}>} when records expire that are about to be put */
    this.coming = new Set();
    this.number = 0;
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
  }

  /**
   * Rows returns what a statement finds.
   * @param {string} text
   * @param {...(ArrayBuffer | string | number | null)} values
   * @returns {any[]}
   */
  rows(text, ...values) {
    return this.sql.exec(text, ...values).toArray();
  }

  /**
   * Need makes a table, unless it is there.
   * @param {string} name
   */
  need(name) {
    if (this.tables.has(name)) return;
    this.sql.exec(tables[name]);
    this.tables.add(name);
  }

  /**
   * @param {string} name
   * @returns {number | undefined}
   */
  mark(name) {
    return this.tables.has("marks") ? this.rows(`SELECT n FROM marks WHERE name = ?`, name)[0]?.n : undefined;
  }

  /**
   * @param {string} name
   * @param {number} n
   */
  setMark(name, n) {
    this.need("marks");
    this.sql.exec(`INSERT INTO marks VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET n = excluded.n`, name, n);
  }

  /**
   * Layout keeps how the store divides its records the first time, and tells it
   * from then on.
   * @param {{text: string}} call
   */
  layout({ text }) {
    this.need("about");
    this.sql.exec(`INSERT INTO about VALUES (1, ?) ON CONFLICT DO NOTHING`, text);
    return this.rows(`SELECT text FROM about`)[0].text;
  }

  /**
   * Load answers as many of the reads, from the first on, as there is room for.
   * @param {{reads: Read[], room: number, sole: boolean}} call
   */
  load({ reads, room, sole }) {
    /** @type {Rec[]} */
    const found = [];
    for (const read of reads) {
      const key = bytes(read.key);
      const head = this.head(key);
      const held = !head || head.revision === read.have;
      room -= held ? 40 : sizeOf(head);
      if (room < 0 && !(sole && found.length === 0)) break;
      found.push(held ? { rev: head?.revision ?? 0 } : this.record(key));
    }
    return found;
  }

  /**
   * Commit applies groups, each as a whole or not at all. Nothing is awaited between
   * the first look at a record and the last write. It answers as many of them, from
   * the first on, as there is room for, and does nothing with the others.
   *
   * What comes late is refused: a program names its epoch, raises its fence to it
   * after one whose answer did not come, and nothing with a lower epoch is applied
   * from then on.
   *
   * An object for one home has a book, which knows when it has to be asked for expired
   * records. The book is told before they are stored.
   * @param {{object: string, book?: string, node: string, epoch: number, raise: boolean, groups: Write[][], room: number, sole: boolean}} call
   */
  async commit({ object, book, node, epoch, raise, groups, room, sole }) {
    if (!book) return this.commitNow({ node, epoch, raise, groups, room, sole });
    if (this.alarmAt === undefined) this.alarmAt = await this.ctx.storage.getAlarm();
    const coming = { at: Math.min(...groups.flat().map((w) => w.expires ?? Infinity)) };
    this.coming.add(coming);
    try {
      if (coming.at < (this.mark("told") ?? Infinity)) {
        let at;
        try {
          at = await this.tell(object, book);
        } catch (e) {
          return { results: groups.map(() => ({ failed: String(e) })) }; // nothing is stored yet
        }
        this.setMark("told", Math.min(at ?? Infinity, this.mark("told") ?? Infinity));
      }
      const done = this.commitNow({ node, epoch, raise, groups, room, sole });
      this.remind(object, book);
      return done;
    } finally {
      this.coming.delete(coming);
    }
  }

  /** @param {{node: string, epoch: number, raise: boolean, groups: Write[][], room: number, sole: boolean}} call */
  commitNow({ node, epoch, raise, groups, room, sole }) {
    if (this.tables.has("fences")) {
      const [fence] = this.rows(`SELECT epoch FROM fences WHERE node = ?`, node);
      if (fence && fence.epoch > epoch) return { fenced: true };
    }
    if (raise) this.raise(node, epoch);
    /** @type {Result[]} */
    const results = [];
    /** @type {[string, number][]} */
    const changes = [];
    for (const group of groups) {
      const heads = group.map((w) => this.head(bytes(w.key)));
      const fits = heads.map((head, i) => (head?.revision ?? 0) === group[i].base);
      if (fits.every(Boolean)) {
        const result = this.apply(group, heads);
        results.push(result);
        result.revs?.forEach((rev, i) => changes.push([group[i].key, rev]));
        continue;
      }
      heads.forEach((head, i) => (room -= fits[i] || !head ? 40 : sizeOf(head)));
      if (room < 0 && !(sole && results.length === 0)) break;
      results.push({ current: group.map((w, i) => (fits[i] ? { rev: w.base } : this.record(bytes(w.key)))) });
    }
    this.announce(changes);
    return { results };
  }

  /**
   * Raise has nothing applied any more that a program has sent in earlier epochs.
   * @param {string} node
   * @param {number} epoch
   */
  raise(node, epoch) {
    this.need("fences");
    const now = Date.now();
    this.sql.exec(`DELETE FROM fences WHERE at < ?`, now - fenceTime);
    this.sql.exec(`INSERT INTO fences VALUES (?, ?, ?) ON CONFLICT (node) DO UPDATE SET epoch = excluded.epoch, at = excluded.at`, node, epoch, now);
  }

  /**
   * Apply makes the writes of a group whose conditions hold.
   * @param {Write[]} group
   * @param {(Head | null)[]} heads
   * @returns {Result}
   */
  apply(group, heads) {
    try {
      if (group.some((w) => w.op === PUT)) this.need("records");
      if (group.some((w) => w.op === DELETE && w.base !== 0)) this.need("marks");
      if (group.some((w) => (w.meta?.length ?? 0) + (w.value?.length ?? 0) > maxRow)) this.need("parts");
      return { revs: this.ctx.storage.transactionSync(() => group.map((w, i) => this.write(w, heads[i]))) };
    } catch (e) {
      return { failed: String(e) }; // and everything is as it was before
    }
  }

  /**
   * Write makes one write and returns the record's revision.
   * @param {Write} w
   * @param {Head | null} head
   */
  write(w, head) {
    if (w.op === CHECK || !head && w.op === DELETE) return w.base;
    const key = bytes(w.key);
    if (head && head.parts > 0) this.sql.exec(`DELETE FROM parts WHERE key = ?`, key);
    if (head && w.op === DELETE) {
      this.raiseFloor(head.revision);
      this.sql.exec(`DELETE FROM records WHERE key = ?`, key);
      return 0;
    }
    const expires = w.expires ?? null;
    const meta = new Uint8Array(bytes(w.meta ?? "")), value = new Uint8Array(bytes(w.value ?? ""));
    const body = new Uint8Array(meta.length + value.length);
    body.set(meta);
    body.set(value, meta.length);
    const parts = Math.max(0, Math.ceil(body.length / maxRow) - 1);
    const revision = this.next(head);
    const rest = [revision, w.version ?? 0, meta.length, body.length, parts, body.slice(0, maxRow).buffer];
    if (!head) {
      this.sql.exec(`INSERT INTO records (key, expires, revision, version, meta, size, parts, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, key, expires, ...rest);
    } else {
      // An index is written when a statement names its column, changed or not.
      this.sql.exec(`UPDATE records SET revision = ?, version = ?, meta = ?, size = ?, parts = ?, body = ? WHERE key = ?`, ...rest, key);
      if (expires !== head.expires) this.sql.exec(`UPDATE records SET expires = ? WHERE key = ?`, expires, key);
    }
    for (let n = 1; n <= parts; n++) {
      this.sql.exec(`INSERT INTO parts VALUES (?, ?, ?)`, key, n, body.slice(n * maxRow, (n + 1) * maxRow).buffer);
    }
    return revision;
  }

  /**
   * Next returns the revision of a record that is put. It is the time in
   * microseconds, so that it grows also if writes are taken back, as by a restore to
   * a point in time, and if the object itself was deleted. It is greater than the
   * one before whatever the clock says.
   * @param {Head | null} head
   */
  next(head) {
    return Math.max(Date.now() * 1000, (head ? head.revision : this.floor()) + 1);
  }

  /** Floor is at least the revision of every record that was deleted. */
  floor() {
    return this.mark("floor") ?? 0;
  }

  /** @param {number} revision */
  raiseFloor(revision) {
    if (revision > this.floor()) this.setMark("floor", revision);
  }

  /**
   * @param {ArrayBuffer} key
   * @returns {Head | null}
   */
  head(key) {
    if (!this.tables.has("records")) return null;
    return this.rows(`SELECT revision, expires, size, parts FROM records WHERE key = ?`, key)[0] ?? null;
  }

  /**
   * @param {ArrayBuffer} key
   * @returns {Rec}
   */
  record(key) {
    const row = this.tables.has("records") && this.rows(`SELECT * FROM records WHERE key = ?`, key)[0];
    if (!row) return { rev: 0 };
    let body = new Uint8Array(row.body);
    if (row.parts > 0) {
      body = new Uint8Array(row.size);
      body.set(new Uint8Array(row.body));
      for (const part of this.rows(`SELECT n, body FROM parts WHERE key = ?`, key)) body.set(new Uint8Array(part.body), part.n * maxRow);
    }
    return {
      rev: row.revision,
      expires: row.expires,
      version: row.version,
      meta: body.subarray(0, row.meta).toBase64(),
      value: body.subarray(row.meta).toBase64(),
    };
  }

  /**
   * Expired names records that have expired, the first ones first. An object with a
   * book corrects what the book knows, if nothing has expired.
   * @param {{object: string, book?: string, now: number, limit: number}} call
   */
  async expired({ object, book, now, limit }) {
    const found = this.tables.has("records")
      ? this.rows(`SELECT key, expires FROM records WHERE expires <= ? ORDER BY expires LIMIT ?`, now, limit)
      : [];
    if (book && found.length === 0) await this.correct(object, book);
    return found.map((row) => ({ key: new Uint8Array(row.key).toBase64(), expires: row.expires }));
  }

  /** First returns when the first record expires, of those that are there or come; null = none does. */
  first() {
    const stored = this.tables.has("records") ? this.rows(`SELECT min(expires) AS first FROM records WHERE expires IS NOT NULL`)[0].first : null;
    const first = Math.min(stored ?? Infinity, ...[...this.coming].map((coming) => coming.at));
    return first === Infinity ? null : first;
  }

  /**
   * Tell tells the book when the first record expires. What is told later counts,
   * whatever arrives last.
   * @param {string} object
   * @param {string} book
   */
  async tell(object, book) {
    const at = this.first();
    this.number = Math.max(this.number + 1, Date.now() * 1000);
    await /** @type {any} */ (this.env.STAY.getByName(book)).note({ object, at, number: this.number });
    return at;
  }

  /**
   * Correct tells the book that the first record expires later than the book knows.
   * The book may know a time that is too early, and never one that is too late: so
   * what it is told, it is told before the mark is lower, and after the mark is higher.
   * @param {string} object
   * @param {string} book
   */
  async correct(object, book) {
    const first = this.first(), told = this.mark("told");
    if (told !== undefined && first === null) this.sql.exec(`DELETE FROM marks WHERE name = 'told'`);
    if (told !== undefined && first !== null && first > told) this.setMark("told", first);
    await this.tell(object, book);
  }

  /**
   * Note keeps, in a book, when an object has to be asked.
   * @param {{object: string, at: number | null, number: number}} call
   */
  note({ object, at, number }) {
    this.need("homes");
    if (at === null) {
      this.sql.exec(`DELETE FROM homes WHERE object = ? AND number < ?`, object, number);
    } else {
      this.sql.exec(`INSERT INTO homes VALUES (?, ?, ?) ON CONFLICT (object) DO UPDATE SET at = excluded.at, number = excluded.number
        WHERE excluded.number > homes.number`, object, at, number);
    }
  }

  /**
   * Due names the objects of a book that may have something expired.
   * @param {{now: number, limit: number}} call
   */
  due({ now, limit }) {
    if (!this.tables.has("homes")) return [];
    return this.rows(`SELECT object, at FROM homes WHERE at <= ? ORDER BY at LIMIT ?`, now, limit);
  }

  /**
   * List returns keys from one on and below another, those of records that have not
   * expired.
   * @param {{now: number, from: string, below: string | null, limit: number}} call
   */
  list({ now, from, below, limit }) {
    if (!this.tables.has("records")) return [];
    const end = below === null ? null : bytes(below);
    return this.rows(`SELECT key FROM records WHERE key >= ? AND (?2 IS NULL OR key < ?2) AND (expires IS NULL OR expires > ?3) ORDER BY key LIMIT ?4`,
      bytes(from), end, now, limit).map((row) => new Uint8Array(row.key).toBase64());
  }

  /**
   * Remind sets the alarm of an object without records.
   * @param {string} object
   * @param {string} book
   */
  remind(object, book) {
    if (this.alarmAt != null || this.tables.size === 0 || !this.empty()) return;
    this.need("about");
    this.sql.exec(`INSERT INTO about VALUES (1, ?) ON CONFLICT DO NOTHING`, JSON.stringify([object, book]));
    this.alarmAt = this.ends();
    this.ctx.storage.setAlarm(this.alarmAt);
  }

  empty() {
    return !this.tables.has("records") || this.rows(`SELECT 1 FROM records LIMIT 1`).length === 0;
  }

  /**
   * Ends returns when an object without records may go: when its fences do not count
   * any more, and its revisions are certainly older than the time.
   */
  ends() {
    const fence = this.tables.has("fences") ? this.rows(`SELECT max(at) AS at FROM fences`)[0].at : null;
    return Math.max(Math.ceil(this.floor() / 1000) + grace, fence === null ? 0 : fence + fenceTime);
  }

  /** Alarm deletes all storage of an object without records. */
  async alarm() {
    this.alarmAt = null;
    if (!this.empty() || this.tables.size === 0) return;
    const [object, book] = JSON.parse(this.rows(`SELECT text FROM about`)[0].text);
    if (this.ends() > Date.now()) return this.remind(object, book);
    await this.correct(object, book);
    if (!this.empty() || this.coming.size > 0) return; // something has come meanwhile
    this.tables.clear();
    await this.ctx.storage.deleteAll();
  }

  /**
   * Announce tells those who watch of changes. The system holds messages back until
   * the writes before them are stored.
   * @param {[string, number][]} changes
   */
  announce(changes) {
    if (changes.length === 0) return;
    const watchers = this.ctx.getWebSockets();
    for (let i = 0; watchers.length > 0 && i < changes.length; i += maxAnnounced) {
      const text = JSON.stringify(changes.slice(i, i + maxAnnounced));
      for (const watcher of watchers) {
        try {
          watcher.send(text);
        } catch {
          // It is gone, and finds out.
        }
      }
    }
  }

  /** Fetch begins to announce changes over a WebSocket. */
  async fetch() {
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }

  /** @param {WebSocket} watcher @param {number} code */
  async webSocketClose(watcher, code) {
    watcher.close(code === 1005 || code === 1006 ? 1000 : code);
  }
}

/** @param {Head} head */
const sizeOf = (head) => Math.ceil(head.size / 3) * 4 + 200;

/** @param {string} text */
const bytes = (text) => Uint8Array.fromBase64(text).buffer;

/** @param {string} text */
const hash = (text) => crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));

/**
 * Allowed compares what the request knows with the secrets, in a time that tells
 * nothing of either.
 * @param {Request} request
 * @param {Env} env
 */
async function allowed(request, env) {
  const given = await hash(request.headers.get("Authorization") ?? "");
  let ok = false;
  for (const secret of [env.STAY_SECRET, env.STAY_SECRET_OLD]) {
    if (!secret || secret.length < minSecret) continue;
    const same = crypto.subtle.timingSafeEqual(given, await hash("Bearer " + secret));
    ok = same || ok;
  }
  return ok;
}

/**
 * Refuse answers a request with which nothing was done.
 * @param {number} status
 * @param {string} why
 */
const refuse = (status, why) => answer({ refused: why }, status);

/** @param {unknown} what @param {number} [status] */
const answer = (what, status) => Response.json(what, { status, headers: { "Stay-Format": String(format) } });

/**
 * @param {Env} env
 * @param {string} method
 * @param {any} call
 * @returns {unknown}
 */
function ask(env, method, call) {
  const object = /** @type {any} */ (env.STAY.getByName(call.object));
  switch (method) {
    case "layout": return object.layout(call);
    case "load": return object.load(call);
    case "commit": return object.commit(call);
    case "expired": return object.expired(call);
    case "list": return object.list(call);
    case "due": return object.due(call);
  }
}

export default {
  /**
   * Fetch asks objects. Each answers for itself: one that fails does not fail the
   * others.
   * @param {Request} request
   * @param {Env} env
   */
  async fetch(request, env) {
    if (!env.STAY_SECRET || env.STAY_SECRET.length < minSecret) {
      return refuse(503, `the Worker has no STAY_SECRET of ${minSecret} characters or more`);
    }
    if (!(await allowed(request, env))) return refuse(401, "the Worker does not know the secret");
    if (request.headers.get("Stay-Format") !== String(format)) {
      return refuse(400, `the Worker is of format ${format}, and the program is not: deploy the worker.js of its version`);
    }
    if (request.headers.get("Upgrade") === "websocket") {
      const object = request.headers.get("Stay-Object");
      return object ? env.STAY.getByName(object).fetch(request) : refuse(400, "no object");
    }
    if (request.method !== "POST") return refuse(405, "the method is not POST");
    const length = Number(request.headers.get("Content-Length") ?? NaN);
    if (!(length <= maxBody)) return refuse(413, `the request does not say that it has ${maxBody} bytes at most`);
    let body;
    try {
      body = await request.json();
    } catch {
      return refuse(400, "the request is not JSON");
    }
    const { method, calls } = body;
    if (!["layout", "load", "commit", "expired", "list", "due"].includes(method) || !Array.isArray(calls)) {
      return refuse(400, "the request has no method of this Worker");
    }
    return answer(await Promise.all(calls.map(async (call) => {
      try {
        return { answer: await ask(env, method, call) };
      } catch (e) {
        return { error: String(e) };
      }
    })));
  },
};
