import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { Link } from "../../../widgets/wirebook_widgets/static/link.js";

/** The kernel's end, and as much of a browser as a link needs. */
class Kernel {
  constructor() {
    this.heard = [];
    this.deltas = [];
    this.document = Object.assign(new EventTarget(), { hidden: false });
    Object.assign(globalThis, {
      document: this.document,
      requestAnimationFrame: (callback) => setTimeout(callback, 16),
      cancelAnimationFrame: clearTimeout,
    });
    const model = {
      on: (_name, callback) => { this.deliver = callback; },
      off: () => { this.deliver = null; },
      send: (content) => this.heard.push(content),
    };
    this.link = new Link(model, (delta, full) => this.deltas.push([delta.value, full]));
  }

  send(seq, { full = false, value = seq } = {}) {
    this.deliver({ type: "delta", seq, full, body: { value } });
  }

  get said() {
    return this.heard.map(({ type, seq }) => `${type} ${seq}`);
  }

  setHidden(hidden) {
    this.document.hidden = hidden;
    this.document.dispatchEvent(new Event("visibilitychange"));
  }
}

let kernel;

beforeEach(() => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
  kernel = new Kernel();
});

test("nothing is said before a view is in sight", () => {
  assert.deepEqual(kernel.said, []);
});

test("the first view in sight looks, the last one out of sight hides", () => {
  kernel.link.setLooking("one", true);
  kernel.link.setLooking("two", true);
  kernel.link.setLooking("one", false);
  assert.deepEqual(kernel.said, ["look 0"]);
  kernel.link.setLooking("two", false);
  assert.deepEqual(kernel.said, ["look 0", "hide 0"]);
});

test("a hidden tab hides, and looks again when it is shown", () => {
  kernel.link.setLooking("one", true);
  kernel.setHidden(true);
  kernel.setHidden(false);
  assert.deepEqual(kernel.said, ["look 0", "hide 0", "look 0"]);
});

test("a delta is handed on and acknowledged after the next frame", () => {
  kernel.link.setLooking("one", true);
  kernel.send(1, { full: true });
  assert.deepEqual(kernel.deltas, [[1, true]]);
  assert.deepEqual(kernel.said, ["look 0"]);
  mock.timers.tick(20);
  assert.deepEqual(kernel.said, ["look 0", "ack 1"]);
});

test("deltas in one frame are acknowledged together", () => {
  kernel.link.setLooking("one", true);
  kernel.send(1, { full: true });
  kernel.send(2);
  mock.timers.tick(1000);
  assert.deepEqual(kernel.said, ["look 0", "ack 2"]);
});

test("a page that draws no frames acknowledges all the same", () => {
  globalThis.requestAnimationFrame = () => 0;
  kernel.link.setLooking("one", true);
  kernel.send(1, { full: true });
  mock.timers.tick(500);
  assert.deepEqual(kernel.said, ["look 0", "ack 1"]);
});

test("a page out of sight applies deltas but acknowledges none", () => {
  kernel.send(1, { full: true });
  mock.timers.tick(1000);
  assert.deepEqual(kernel.deltas, [[1, true]]);
  assert.deepEqual(kernel.said, []);
});

test("a gap leads to one resync, and nothing is applied before the complete delta", () => {
  kernel.link.setLooking("one", true);
  kernel.send(1, { full: true });
  mock.timers.tick(20);
  kernel.send(3);
  kernel.send(4);
  kernel.send(5, { full: true });
  kernel.send(6);
  assert.deepEqual(kernel.deltas, [[1, true], [5, true], [6, false]]);
  assert.deepEqual(kernel.said, ["look 0", "ack 1", "resync 1"]);
});

test("a page that is in sight without news says now and then that it looks", () => {
  kernel.link.setLooking("one", true);
  kernel.send(1, { full: true });
  mock.timers.tick(20_020);
  assert.deepEqual(kernel.said, ["look 0", "ack 1", "look 1"]);
  kernel.link.setLooking("one", false);
  mock.timers.tick(100_000);
  assert.equal(kernel.said.length, 4);
});

test("a request resolves when it is answered", async () => {
  const done = kernel.link.request("close", { handle: 5 });
  const { type, page, id, handle } = kernel.heard[0];
  assert.deepEqual([type, handle], ["close", 5]);
  kernel.deliver({ type: "answer", page, id, error: null });
  await done;
});

test("a request rejects with the kernel's sentence", async () => {
  const done = kernel.link.request("close", { handle: 5 });
  const { page, id } = kernel.heard[0];
  kernel.deliver({ type: "answer", page, id, error: "Too late." });
  await assert.rejects(done, { message: "Too late." });
});

test("an answer to another page is not ours", async () => {
  const done = kernel.link.request("close", { handle: 5 });
  const { page, id } = kernel.heard[0];
  kernel.deliver({ type: "answer", page: "other", id, error: "Not for you." });
  kernel.deliver({ type: "answer", page, id, error: null });
  await done;
});

test("two links have different names", () => {
  assert.notEqual(new Kernel().link.page, kernel.link.page);
});

test("a link that is closed hides and hears nothing", () => {
  kernel.link.setLooking("one", true);
  kernel.link.close();
  assert.deepEqual(kernel.said, ["look 0", "hide 0"]);
  assert.equal(kernel.deliver, null);
});
