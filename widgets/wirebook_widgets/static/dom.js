// Small helpers for building pages. Text goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element; `properties` are DOM properties, but for `class`, `role` and `aria-…`. */
export function element(name, properties = {}, ...children) {
  return fill(document.createElement(name), properties, children);
}

/** An SVG element with attributes. */
export function drawing(name, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function fill(node, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (/^(class|role|scope|dir|aria-.*|data-.*)$/.test(key)) node.setAttribute(key, value);
    else node[key] = value;
  }
  node.append(...children);
  return node;
}

/**
 * Keep JupyterLab's one-letter shortcuts away from what has the focus in `root`: D D would delete the cell.
 * Those with Ctrl and the like still work. Returns what ends it.
 */
export function keepKeys(root) {
  const mark = (event) => {
    if (!root.contains(event.target)) return;
    const isCommand = event.ctrlKey || event.metaKey || event.altKey;
    setAttribute(event.target, "data-lm-suppress-shortcuts", isCommand ? null : "true");
  };
  window.addEventListener("keydown", mark, { capture: true }); // the only place before JupyterLab's own
  return () => window.removeEventListener("keydown", mark, { capture: true });
}

/** Change a node's text only if it differs: most cells stay as they are. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Change an attribute only if it differs; null takes it away. */
export function setAttribute(node, name, value) {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

const ICONS = {
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M10.4 10.4 14 14",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3.5 12.5 8 5 12.5z",
  close: "M4 4l8 8M12 4l-8 8",
  reset: "M9 1.5 4 9h3.5L7 14.5 12 7H8.5z",
};

/** A 16 by 16 line icon in the colour of the text. Decoration: what it means stands beside it or in a label. */
export function icon(name) {
  return drawing("svg", { class: "wb-icon", viewBox: "0 0 16 16", "aria-hidden": "true" },
    drawing("path", { d: ICONS[name] }));
}

const RING = "M6 1.75a4.25 4.25 0 1 0 0 8.5 4.25 4.25 0 0 0 0-8.5";
const GLYPHS = {
  listening: [RING, "M6 4.25a1.75 1.75 0 1 0 0 3.5 1.75 1.75 0 0 0 0-3.5"],
  paused: ["", "M3 2h2v8H3zM7 2h2v8H7z"],
  connecting: [RING, ""],
  open: ["", "M6 1.25a4.75 4.75 0 1 0 0 9.5 4.75 4.75 0 0 0 0-9.5"],
  "half-closed": [RING, "M6 1.75a4.25 4.25 0 0 0 0 8.5z"],
  closing: [RING, "M3.5 5.25h5v1.5h-5z"],
  closed: ["M3 3l6 6M9 3l-6 6", ""],
};

/** The sign of a state: every one has its own shape, whatever the colours. */
export function glyph() {
  return drawing("svg", { class: "wb-glyph", viewBox: "0 0 12 12", "aria-hidden": "true" },
    drawing("path", { class: "wb-line" }), drawing("path", { class: "wb-solid" }));
}

export function setGlyph(node, state) {
  if (node.dataset.state === state) return;
  node.dataset.state = state;
  const [line, solid] = GLYPHS[state] ?? [RING, ""];
  node.children[0].setAttribute("d", line);
  node.children[1].setAttribute("d", solid);
}
