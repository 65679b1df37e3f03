// Written by stay deploy, which leaves it alone once it was changed by hand. sha256:eeca80bf49949c37
// Passes requests on to the program, which runs in containers, and those of the
// program to the objects that keep its records.

import { DurableObject } from "cloudflare:workers";
import records, { StayRecords } from "./worker.js";

export { StayRecords };

const port = 3000;

/** The longest time that a program takes until it listens, in milliseconds. */
const patience = 20_000;

/** Each object has one container. */
export class StayProgram extends DurableObject {
  /** @param {Request} request */
  async fetch(request) {
    await this.start(new URL(request.url).origin);
    const headers = new Headers(request.headers);
    headers.set("X-Forwarded-Proto", new URL(request.url).protocol.slice(0, -1));
    const inside = new Request(request, { headers });
    return this.ctx.container.getTcpPort(port).fetch(inside.url.replace("https:", "http:"), inside);
  }

  /**
   * Start returns when the program listens.
   * @param {string} origin
   */
  async start(origin) {
    const container = this.ctx.container;
    if (container.running && this.listens) return;
    this.listens = false;
    if (!container.running) {
      container.start({
        enableInternet: true,
        env: { STAY_URL: origin + "/.stay/", STAY_SECRET: this.env.STAY_SECRET },
      });
      container.monitor().catch(() => {}).finally(() => { this.listens = false; });
    }
    for (const end = Date.now() + patience; ;) {
      try {
        await (await container.getTcpPort(port).fetch("http://program/healthz")).body?.cancel();
        this.listens = true;
        return;
      } catch (e) {
        if (Date.now() > end) throw e;
        await scheduler.wait(100);
      }
    }
  }
}

export default {
  /**
   * @param {Request} request
   * @param {any} env
   */
  async fetch(request, env) {
    if (new URL(request.url).pathname.startsWith("/.stay/")) return records.fetch(request, env);
    const n = Math.floor(Math.random() * Number(env.PROGRAMS));
    return env.PROGRAM.getByName("program-" + n).fetch(request);
  },
};
