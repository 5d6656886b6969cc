// What the page knows: rows that deltas fill, and the rates that follow from their counters. Pure.

/** What a row holds on the wire, in order; `_table.py` knows the same list. */
export const COLUMNS = [
  "id", "kind", "transport", "role", "state", "local", "peer", "protocol", "cell", "born", "ended",
  "received", "sent", "open",
];

const SAMPLES = 60;

/** Counters, sampled about once a second: the latest rates, and those of the last minute. */
class Meter {
  constructor() {
    this.rateIn = 0;
    this.rateOut = 0;
    this.peak = 0; // the largest rate of the last minute, either way
    this.history = null;
  }

  /** Begin to count at these totals. */
  start(received, sent, now) {
    Object.assign(this, { received, sent, at: now });
  }

  /** Take the totals at `now`. */
  sample(received, sent, now) {
    const passed = now - this.at;
    if (passed <= 0) return;
    this.rateIn = Math.max(0, received - this.received) / passed;
    this.rateOut = Math.max(0, sent - this.sent) / passed;
    this.start(received, sent, now);
    if (this.history === null && this.rateIn + this.rateOut === 0) return;
    this.history ??= { in: new Float32Array(SAMPLES), out: new Float32Array(SAMPLES) };
    const seconds = Math.max(1, Math.round(passed));
    push(this.history.in, this.rateIn, seconds);
    push(this.history.out, this.rateOut, seconds);
    this.peak = Math.max(...this.history.in, ...this.history.out);
  }
}

function push(samples, value, times) {
  samples.copyWithin(0, times);
  samples.fill(value, Math.max(0, SAMPLES - times));
}

/** The table as the page has it. */
export class Store {
  constructor() {
    this.rows = new Map();
    this.totals = { ports: 0, connections: 0, received: 0, sent: 0 };
    this.meter = new Meter();
    this.now = 0;
    this.backlog = false;
    this.version = 0;
    this.stale = null;
  }

  /** Apply one delta; `full` begins a complete picture, which may go on in the next ones. */
  apply(delta, full) {
    this.now = delta.now;
    this.totals = delta.totals;
    this.backlog = delta.more;
    if (full) this.stale = new Set(this.rows.keys());
    if (this.meter.at === undefined) this.meter.start(delta.totals.received, delta.totals.sent, delta.now);
    for (const values of delta.rows) this.put(values);
    for (const [id, received, sent, open] of delta.counts) {
      Object.assign(this.rows.get(id) ?? {}, { received, sent, open });
    }
    for (const id of delta.gone) this.remove(id);
    if (this.stale !== null && !delta.more) this.sweep();
    this.version += 1;
  }

  put(values) {
    const fields = Object.fromEntries(COLUMNS.map((name, index) => [name, values[index]]));
    const row = this.rows.get(fields.id) ?? this.add(fields);
    if (fields.ended !== null) fields.state = "closed";
    Object.assign(row, fields, { search: undefined });
    this.stale?.delete(row.id);
  }

  add(fields) {
    const row = { meter: new Meter(), gone: false };
    // A row that is new to the page but not to the kernel has a past that is no rate.
    const isYoung = this.now - fields.born < 2 && this.version > 0;
    row.meter.start(isYoung ? 0 : fields.received, isYoung ? 0 : fields.sent, isYoung ? fields.born : this.now);
    this.rows.set(fields.id, row);
    return row;
  }

  remove(id) {
    const row = this.rows.get(id);
    if (row) row.gone = true;
    this.rows.delete(id);
  }

  sweep() {
    for (const id of this.stale) this.remove(id);
    this.stale = null;
  }

  /** Turn counters into rates. `now` is the kernel's clock, as the page estimates it. */
  sample(now) {
    for (const row of this.rows.values()) {
      const { meter } = row;
      const moved = row.received !== meter.received || row.sent !== meter.sent;
      // While the kernel still has rows to send, an unchanged counter may only be a late one.
      if (moved || (!this.backlog && meter.history !== null)) meter.sample(row.received, row.sent, now);
      else if (!this.backlog) meter.at = now;
    }
    this.meter.sample(this.totals.received, this.totals.sent, now);
    this.version += 1;
  }
}
