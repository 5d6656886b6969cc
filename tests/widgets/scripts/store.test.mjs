import assert from "node:assert/strict";
import { test } from "node:test";
import { COLUMNS, Store } from "../../../widgets/wirebook_widgets/static/store.js";

const wire = (id, more = {}) => {
  const row = {
    id, kind: "connection", transport: "TCP", role: "server", state: "open", local: "a", peer: "b",
    protocol: "Echo", cell: "1", born: 0, ended: null, received: 0, sent: 0, open: 0, ...more,
  };
  return COLUMNS.map((name) => row[name]);
};

const delta = (more = {}) => ({
  now: 100, totals: { ports: 0, connections: 1, received: 0, sent: 0 }, rows: [], counts: [], gone: [], more: false,
  ...more,
});

const filled = (...ids) => {
  const store = new Store();
  store.apply(delta({ rows: ids.map((id) => wire(id)) }), true);
  return store;
};

test("rows are put in by number", () => {
  const store = filled(1, 2);
  assert.deepEqual([...store.rows.keys()], [1, 2]);
  assert.equal(store.rows.get(2).protocol, "Echo");
});

test("counters change in place, so that a view may keep the row", () => {
  const store = filled(1);
  const row = store.rows.get(1);
  store.apply(delta({ counts: [[1, 5, 6, 7]] }), false);
  assert.deepEqual([row.received, row.sent, row.open], [5, 6, 7]);
});

test("a row that is sent again keeps its history", () => {
  const store = filled(1);
  const { meter } = store.rows.get(1);
  store.apply(delta({ rows: [wire(1, { state: "closing" })] }), false);
  assert.equal(store.rows.get(1).state, "closing");
  assert.equal(store.rows.get(1).meter, meter);
});

test("a row that ended is closed, whatever its state says", () => {
  const store = filled(1);
  store.apply(delta({ rows: [wire(1, { state: "closing", ended: 5 })] }), false);
  assert.equal(store.rows.get(1).state, "closed");
});

test("a row that is gone says so to who still shows it", () => {
  const store = filled(1);
  const row = store.rows.get(1);
  store.apply(delta({ gone: [1, 99] }), false);
  assert.equal(store.rows.size, 0);
  assert.ok(row.gone);
});

test("counters of a row that is not there are ignored", () => {
  const store = filled(1);
  store.apply(delta({ counts: [[99, 1, 1, 0]] }), false);
  assert.equal(store.rows.size, 1);
});

test("a complete picture takes out what it does not show, but not before its last piece", () => {
  const store = filled(1, 2, 3);
  store.apply(delta({ rows: [wire(1)], more: true }), true);
  assert.equal(store.rows.size, 3);
  store.apply(delta({ rows: [wire(3)] }), false);
  assert.deepEqual([...store.rows.keys()], [1, 3]);
});

test("rates are bytes per second since the last sample", () => {
  const store = filled(1);
  store.apply(delta({ counts: [[1, 1000, 500, 0]] }), false);
  store.sample(102);
  const { meter } = store.rows.get(1);
  assert.deepEqual([meter.rateIn, meter.rateOut, meter.peak], [500, 250, 500]);
  store.sample(103);
  assert.equal(meter.rateIn, 0);
  assert.equal(meter.peak, 500);
});

test("what a row had before the page knew it is no rate", () => {
  const store = new Store();
  store.apply(delta({ rows: [wire(1, { received: 1e9 })] }), true);
  store.sample(101);
  assert.equal(store.rows.get(1).meter.rateIn, 0);
});

test("a connection that is new to everybody has a rate from its first byte", () => {
  const store = filled();
  store.apply(delta({ now: 101, rows: [wire(1, { born: 100.5, received: 300 })] }), false);
  store.sample(101.5);
  assert.equal(store.rows.get(1).meter.rateIn, 300);
});

test("a row that never moved has no history", () => {
  const store = filled(1);
  store.sample(101);
  store.sample(102);
  assert.equal(store.rows.get(1).meter.history, null);
});

test("a row that begins to move after a silence has the rate of the last second", () => {
  const store = filled(1);
  store.sample(199);
  store.apply(delta({ counts: [[1, 100, 0, 0]] }), false);
  store.sample(200);
  assert.equal(store.rows.get(1).meter.rateIn, 100);
});

test("while rows are on their way, an unchanged counter is no silence", () => {
  const store = filled(1);
  store.apply(delta({ counts: [[1, 100, 0, 0]] }), false);
  store.sample(101);
  store.apply(delta({ more: true }), false);
  store.sample(102);
  assert.equal(store.rows.get(1).meter.rateIn, 100);
  store.apply(delta({ counts: [[1, 300, 0, 0]], more: true }), false);
  store.sample(103);
  assert.equal(store.rows.get(1).meter.rateIn, 100);
});

test("the totals have rates too, and never negative ones", () => {
  const store = filled(1);
  store.apply(delta({ totals: { ports: 0, connections: 1, received: 50, sent: 0 } }), false);
  store.sample(101);
  assert.equal(store.meter.rateIn, 50);
  store.apply(delta({ totals: { ports: 0, connections: 1, received: 10, sent: 0 } }), false);
  store.sample(102);
  assert.equal(store.meter.rateIn, 0);
});

test("time without samples is filled with its average", () => {
  const store = filled(1);
  store.apply(delta({ counts: [[1, 500, 0, 0]] }), false);
  store.sample(105);
  assert.deepEqual([...store.rows.get(1).meter.history.in.slice(-7)], [0, 0, 100, 100, 100, 100, 100]);
  store.apply(delta({ counts: [[1, 10_500, 0, 0]] }), false);
  store.sample(1105);
  assert.deepEqual([...new Set(store.rows.get(1).meter.history.in)], [10]);
});

test("history holds a minute", () => {
  const store = filled(1);
  for (let second = 1; second <= 100; second += 1) {
    store.apply(delta({ counts: [[1, second * second, 0, 0]] }), false);
    store.sample(100 + second);
  }
  const { history } = store.rows.get(1).meter;
  assert.equal(history.in.length, 60);
  assert.equal(history.in.at(-1), 100 ** 2 - 99 ** 2);
});
