// The edge as it is built for the CDN, behind a network that `cargo xtask bench` makes bad: what it reads of its hub comes
// late, not at all, cut off, or as an error. `PUT /.bench/weather` says how; pushes to the hub are let through as they
// are, since their network lies between the control plane and here.
import Edge from "../edge/build/index.js";

/** Milliseconds there and back, of a hundred reads so many that fail or are cut off, and whether nothing is answered. */
let weather = { delay_ms: [0, 0], errors: 0, cuts: 0, silent: false };

const READS = ["head", "objects", "root"];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const happens = (percent) => Math.random() * 100 < percent;

async function read(stub, request) {
  const [least, most] = weather.delay_ms;
  const way = (least + Math.random() * (most - least)) / 2;
  await sleep(way);
  while (weather.silent) await sleep(20);
  if (happens(weather.errors)) return new Response("out of order", { status: 500 });
  const answer = await stub.fetch(request);
  await sleep(way);
  if (happens(weather.cuts)) throw new Error("the connection broke off");
  return answer;
}

// The name of the class is the one that the edge expects of a binding.
function late(real) {
  class DurableObjectNamespace {
    getByName(name, options) {
      const stub = real.getByName(name, options);
      const isRead = (request) => READS.includes(new URL(request.url).pathname.split("/")[1]);
      return {
        fetch: (request) => (request.method === "GET" && isRead(request) ? read(stub, request) : stub.fetch(request)),
      };
    }
  }
  return new DurableObjectNamespace();
}

export default {
  async fetch(request, env, context) {
    if (new URL(request.url).pathname === "/.bench/weather") {
      weather = await request.json();
      return new Response(null, { status: 204 });
    }
    return new Edge(context, { ...env, HUB: late(env.HUB) }).fetch(request);
  },
};
