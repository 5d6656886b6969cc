// The Connections widget: a live table of ports and connections.

import { drawing, element, glyph, icon, keepKeys, setAttribute, setGlyph, setText } from "./dom.js";
import { parseFilter, rowMatches } from "./filter.js";
import { Grid } from "./grid.js";
import { Link } from "./link.js";
import { Store } from "./store.js";
import { ageText, areaPoints, bytesText, countText, rateText } from "./units.js";

const TICK = 1000;
const WAITING = 3000;
const SPARK = { width: 72, height: 8, baseline: 9 };
const EXAMPLE = "reactor.listenTCP(0, factory)";

/** One model in one page: its link to the kernel, the rows, the views that show them. */
class Session {
  constructor(model) {
    this.model = model;
    this.store = new Store();
    this.views = new Set();
    this.offset = null;
    this.news = false;
    this.quiet = 0;
    this.link = new Link(model, (delta, full) => this.take(delta, full));
    this.timer = setInterval(() => this.tick(), TICK);
    this.showPicture();
  }

  /** Until the first delta, show what the kernel saw when the view was displayed. */
  showPicture() {
    const picture = this.model.get("snapshot");
    if (!picture?.rows) return;
    this.taken = picture.taken;
    this.store.apply({ ...picture, counts: [], gone: [], more: false }, true);
  }

  /** The kernel's clock now. It stands still in a picture. */
  now() {
    return this.offset === null ? this.store.now : performance.now() / 1000 + this.offset;
  }

  take(delta, full) {
    const offset = delta.now - performance.now() / 1000;
    // The least delayed message tells the time best; a jump means that somebody's clock slept.
    if (this.offset === null || offset > this.offset || this.offset - offset > 2) this.offset = offset;
    this.store.apply(delta, full);
    this.news = true;
    for (const view of this.views) view.drawSoon();
  }

  /** Sample with the news, which may be a little late; without any, a silence of two ticks counts as one. */
  tick() {
    this.quiet = this.news || !this.link.looking ? 0 : this.quiet + 1;
    if (this.news || this.quiet > 1) this.store.sample(this.now());
    this.news = false;
    for (const view of this.views) view.drawSoon();
  }

  close() {
    clearInterval(this.timer);
    this.link.close();
  }
}

/** One place where a session is shown. */
class ConnectionsView {
  constructor(session, root) {
    this.session = session;
    this.terms = [];
    this.paused = false;
    this.hovered = false;
    this.order = [];
    this.orderIsFor = null;
    this.pending = new Map();
    this.started = performance.now();
    this.grid = new Grid({
      columns: columns(this),
      label: "Ports and connections",
      decorate: (tr, row) => this.decorate(tr, row),
      onSort: () => this.reorder(),
    });
    root.append(this.build());
    this.watchSight(root);
    session.views.add(this);
    this.reorder();
  }

  close() {
    this.session.views.delete(this);
    this.sight.disconnect();
    this.grid.close();
    this.releaseKeys();
    this.session.link.setLooking(this, false);
    cancelAnimationFrame(this.frame);
  }

  build() {
    this.grid.root.addEventListener("pointerenter", () => { this.hovered = true; });
    this.grid.root.addEventListener("pointerleave", () => { this.hovered = false; });
    this.note = element("div", { class: "wb-note", role: "alert", hidden: true });
    this.empty = element("div", { class: "wb-empty", hidden: true });
    const body = element("div", { class: "wb-body" }, this.grid.root, this.empty);
    const root = element("section", { class: "wb", "aria-label": "Connections" },
      this.buildBar(), this.note, body, this.buildFoot());
    this.releaseKeys = keepKeys(root);
    return root;
  }

  buildBar() {
    this.search = element("input", {
      type: "search", class: "wb-input", spellcheck: false, autocomplete: "off",
      placeholder: "Filter: echo  state:open  cell:3  -peer:10.0.0.1",
      title: `Words are looked for everywhere. Keys: kind, state, cell, proto, local, peer, addr, id; `
        + `"," between values means or, "-" in front means not.`,
      "aria-label": "Filter rows",
    });
    this.search.addEventListener("input", () => this.setFilter(this.search.value));
    this.search.addEventListener("keydown", (event) => this.onSearchKey(event));
    this.matches = element("span", { class: "wb-matches", role: "status", dir: "auto" });
    this.pauseButton = element("button", { type: "button", class: "wb-button" });
    this.pauseButton.addEventListener("click", () => this.setPaused(!this.paused));
    this.setPaused(false);
    return element("div", { class: "wb-bar" },
      element("label", { class: "wb-search" }, icon("search"), this.search), this.matches, this.pauseButton);
  }

  buildFoot() {
    this.status = { root: element("span", { class: "wb-status" }), text: element("span", { dir: "auto" }) };
    this.status.root.append(element("span", { class: "wb-dot", "aria-hidden": "true" }), this.status.text);
    this.counts = element("span", { class: "wb-counts", dir: "auto" });
    this.rateIn = element("bdi", { dir: "ltr" });
    this.rateOut = element("bdi", { dir: "ltr" });
    this.spark = sparkline();
    return element("div", { class: "wb-foot" }, this.status.root, this.counts, element("span", { class: "wb-grow" }),
      element("span", { class: "wb-total wb-in" }, "In ", this.rateIn),
      element("span", { class: "wb-total wb-out" }, "Out ", this.rateOut), this.spark);
  }

  watchSight(root) {
    this.sight = new IntersectionObserver((entries) => {
      this.session.link.setLooking(this, entries.at(-1).isIntersecting);
      this.drawSoon();
    });
    this.sight.observe(root);
  }

  onSearchKey(event) {
    if (event.key === "Escape" && this.search.value) {
      event.stopPropagation();
      this.search.value = "";
      this.setFilter("");
    } else if (event.key === "ArrowDown" && this.order.length) {
      event.preventDefault();
      this.grid.activate(0);
    }
  }

  setFilter(text) {
    this.terms = parseFilter(text);
    this.grid.root.scrollTop = 0;
    this.reorder();
  }

  setPaused(paused) {
    this.paused = paused;
    this.pauseButton.replaceChildren(icon(paused ? "play" : "pause"), paused ? "Resume" : "Pause");
    this.pauseButton.title = paused ? "Show what happens now" : "Hold the table still; nothing is lost";
    this.pausedAt = paused ? this.session.now() : null;
    if (!paused) this.drawSoon();
  }

  /** The time that ages are counted to. */
  now() {
    return this.pausedAt ?? this.session.now();
  }

  drawSoon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.draw();
    });
  }

  draw() {
    this.drawStatus();
    if (this.paused || !this.grid.root.isConnected) return;
    if (this.orderIsFor !== this.session.store.version) {
      if (this.hovered) this.keepOrder();
      else this.sort();
    }
    this.drawRows();
  }

  /** Sort and draw at once: the user asked for another order or another choice of rows. */
  reorder() {
    this.sort();
    this.drawRows();
    this.drawStatus();
  }

  sort() {
    const rows = [...this.session.store.rows.values()];
    this.order = this.grid.sorted(this.terms.length ? rows.filter((row) => rowMatches(row, this.terms)) : rows);
    this.orderIsFor = this.session.store.version;
  }

  /** While the pointer is over the rows they stay where they are, so that nobody clicks the wrong one. */
  keepOrder() {
    const kept = new Set(this.order.map((row) => row.id));
    for (const row of this.session.store.rows.values()) {
      if (!kept.has(row.id) && rowMatches(row, this.terms)) this.order.push(row);
    }
    this.orderIsFor = this.session.store.version;
  }

  drawRows() {
    const { store } = this.session;
    this.grid.show(this.order);
    this.drawEmpty(store.rows.size);
    setText(this.matches, this.terms.length ? `${this.order.length} of ${countText(store.rows.size, "row")}` : "");
    const { ports, connections } = store.totals;
    setText(this.counts, `${countText(ports, "port")}, ${countText(connections, "connection")}`);
    setText(this.rateIn, rateText(store.meter.rateIn));
    setText(this.rateOut, rateText(store.meter.rateOut));
    drawSparkline(this.spark, store.meter);
  }

  drawEmpty(total) {
    const reason = this.order.length ? "" : total ? "filtered" : "nothing";
    if (this.empty.dataset.reason === reason) return;
    this.empty.dataset.reason = reason;
    this.empty.hidden = !reason;
    if (reason === "filtered") this.empty.replaceChildren(element("p", {}, "No row passes the filter."), this.clearButton());
    if (reason === "nothing") {
      this.empty.replaceChildren(
        element("p", {}, "Nothing is open."), element("p", {}, "Try ", element("code", { dir: "ltr" }, EXAMPLE)));
    }
  }

  clearButton() {
    const button = element("button", { type: "button", class: "wb-button" }, "Clear the filter");
    button.addEventListener("click", () => {
      this.search.value = "";
      this.setFilter("");
      this.search.focus();
    });
    return button;
  }

  drawStatus() {
    const [name, text] = this.statusNow();
    setAttribute(this.status.root, "data-status", name);
    setText(this.status.text, text);
  }

  statusNow() {
    if (this.paused) return ["paused", "Paused"];
    if (this.session.link.live) return ["live", "Live"];
    if (performance.now() - this.started < WAITING) return ["waiting", "Connecting"];
    const taken = this.session.taken ? new Date(this.session.taken).toLocaleTimeString() : "";
    return ["waiting", taken ? `As of ${taken}: no answer from the kernel yet` : "No answer from the kernel yet"];
  }

  decorate(tr, row) {
    const ended = row.state === "closed" || row.gone;
    tr.classList.toggle("wb-ended", ended);
    tr.classList.toggle("wb-port", row.kind === "port");
    tr.classList.toggle("wb-new", this.session.link.live && this.now() - row.born < 1.5);
    if (ended) this.pending.delete(row.id);
  }

  /** Ask the kernel to close or reset a row; what goes wrong is shown above the table. */
  async end(action, row) {
    this.pending.set(row.id, action);
    this.note.hidden = true;
    this.drawSoon();
    try {
      await this.session.link.request(action, { handle: row.id });
    } catch (error) {
      this.complain(`Could not ${action} ${describe(row)}. ${error.message}`);
    }
    this.pending.delete(row.id);
    this.drawSoon();
  }

  complain(text) {
    const dismiss = element("button", { type: "button", class: "wb-tool", "aria-label": "Dismiss" }, icon("close"));
    dismiss.addEventListener("click", () => { this.note.hidden = true; });
    this.note.replaceChildren(element("span", { dir: "auto" }, text), dismiss);
    this.note.hidden = false;
  }
}

/** A row in words. */
function describe(row) {
  if (row.kind === "port") return `port ${row.local}`;
  return `${row.role || "connection"} ${row.local || "?"} to ${row.peer || "?"}`;
}

/** The columns of the table; `view` gives them the time and takes their requests. */
function columns(view) {
  const plain = (key, label, width, title) => ({
    key, label, width, title, kind: "text", sort: (row) => row[key], text: (row) => row[key],
    update: (cell, row) => { setText(cell, row[key]); setAttribute(cell, "title", row[key] || null); },
  });
  const number = (key, label, width, title, sort, text) => ({
    key, label, width, title, kind: "number", firstDescending: true, sort,
    make: (cell) => cell.append(element("bdi", { dir: "ltr" })),
    update: (cell, row) => {
      setText(cell.firstChild, text(row));
      cell.classList.toggle("wb-quiet", Math.abs(sort(row)) < 0.5);
    },
  });
  return [
    kindColumn(),
    addressColumn("local", "Local", "The address at this end", (row) => row.local),
    addressColumn("peer", "Peer", "The address at the other end; for a port, how many connections it has open",
      (row) => (row.kind === "port" ? `${row.open.toLocaleString("en")} open` : row.peer)),
    stateColumn(view),
    plain("cell", "Cell", "40px", "The cell that opened it"),
    plain("protocol", "Protocol", "10%", "The class of the protocol"),
    number("age", "Age", "68px", "Since it was opened", (row) => -row.born,
      (row) => ageText((row.ended ?? view.now()) - row.born)),
    number("in", "In", "66px", "Bytes received", (row) => row.received, (row) => bytesText(row.received)),
    number("out", "Out", "66px", "Bytes sent", (row) => row.sent, (row) => bytesText(row.sent)),
    number("rateIn", "In/s", "80px", "Bytes received in the last second",
      (row) => row.meter.rateIn, (row) => rateText(row.meter.rateIn)),
    number("rateOut", "Out/s", "80px", "Bytes sent in the last second",
      (row) => row.meter.rateOut, (row) => rateText(row.meter.rateOut)),
    sparkColumn(),
    toolColumn(view),
  ];
}

function kindColumn() {
  return {
    key: "kind", label: "Kind", width: "84px", title: "The transport, and which end of it", kind: "text",
    sort: (row) => `${row.kind === "port" ? 0 : 1}${row.role}`,
    make: (cell) => cell.append(element("span", { class: "wb-transport" }), " ", element("span")),
    update: (cell, row) => {
      setText(cell.firstChild, row.transport);
      setText(cell.lastChild, row.role || row.kind);
    },
  };
}

function addressColumn(key, label, title, text) {
  return {
    key, label, title, width: "auto", kind: "address", sort: text,
    make: (cell) => cell.append(element("bdi", { dir: "ltr" })),
    update: (cell, row) => {
      setText(cell.firstChild, text(row));
      setAttribute(cell, "title", text(row) || null);
      cell.classList.toggle("wb-quiet", row.kind === "port" && key === "peer");
    },
  };
}

function stateColumn(view) {
  return {
    key: "state", label: "State", width: "100px", title: "What it does now", kind: "text", sort: (row) => row.state,
    make: (cell) => cell.append(glyph(), element("span")),
    update: (cell, row) => {
      const state = row.gone ? "closed" : view.pending.has(row.id) ? "closing" : row.state;
      setGlyph(cell.firstChild, state);
      setText(cell.lastChild, state);
    },
  };
}

function sparkColumn() {
  return {
    key: "spark", label: "Last minute", width: "84px", kind: "spark", firstDescending: true,
    title: "Bytes per second over the last minute: in above the line, out below",
    sort: (row) => row.meter.peak,
    make: (cell) => cell.append(sparkline()),
    update: (cell, row) => {
      drawSparkline(cell.firstChild, row.meter);
      setAttribute(cell, "title", row.meter.peak ? `At most ${rateText(row.meter.peak)} in the last minute` : null);
    },
  };
}

function toolColumn(view) {
  return {
    key: "tools", label: "Actions", width: "54px", title: "", kind: "tools",
    make: (cell, row) => {
      const port = row.kind === "port";
      cell.append(tool(view, "close", row, port ? "Stop listening on" : "Close, after sending what is pending:"));
      if (!port) cell.append(tool(view, "reset", row, "Reset, dropping what is pending:"));
    },
    update: (cell, row) => {
      const over = row.gone || row.state === "closed" || !view.session.link.live;
      for (const button of cell.children) {
        button.disabled = over || view.pending.has(row.id);
        label(button, row);
      }
    },
  };
}

function tool(view, action, row, text) {
  const button = element("button", { type: "button", class: `wb-tool wb-${action}` }, icon(action));
  button.dataset.text = text;
  button.addEventListener("click", () => view.end(action, row));
  return button;
}

function label(button, row) {
  const text = `${button.dataset.text} ${describe(row)}`;
  setAttribute(button, "title", text);
  setAttribute(button, "aria-label", text);
}

function sparkline() {
  const { width, baseline } = SPARK;
  return drawing("svg", { class: "wb-spark", viewBox: `0 0 ${width} ${2 * baseline}`, "aria-hidden": "true" },
    drawing("line", { x1: 0, x2: width, y1: baseline, y2: baseline }),
    drawing("polyline", { class: "wb-in" }), drawing("polyline", { class: "wb-out" }));
}

function drawSparkline(node, { history, peak, at }) {
  const stamp = history === null ? "" : String(at);
  if (node.dataset.stamp === stamp) return;
  node.dataset.stamp = stamp;
  const points = (samples, sign) => (history === null ? "" : areaPoints(samples, peak, { ...SPARK, sign }));
  node.children[1].setAttribute("points", points(history?.in, 1));
  node.children[2].setAttribute("points", points(history?.out, -1));
}

export default () => {
  let session;
  return {
    initialize({ model }) {
      session = new Session(model);
      return () => session.close();
    },
    render({ el }) {
      const view = new ConnectionsView(session, el);
      return () => view.close();
    },
  };
};
