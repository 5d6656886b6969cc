import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFilter, rowMatches } from "../../../widgets/wirebook_widgets/static/filter.js";

const row = (more = {}) => ({
  id: 12, kind: "connection", transport: "TCP", role: "server", state: "half-closed", local: "127.0.0.1:8007",
  peer: "[::1]:40001", protocol: "EchoServer", cell: "3", ...more,
});

const passes = (filter, more) => rowMatches(row(more), parseFilter(filter));

for (const filter of [
  "", "   ", "echo", "ECHO", "127.0.0.1:8007", "127.0.0.1:", "[::1]", "echo half", "cell:3", "state:half-closed",
  "state:half", 'state:"half-closed"', "STATE:Half", "proto:server", "peer:40001", "local:8007", "addr:40001",
  "kind:connection", "kind:conn", "kind:server", "kind:tcp", "id:12", "state:open,half", "-state:open",
  "-cell:13", "-port", "state:", "cell:3 -peer:10.0.0.1", '"echoserver"', "-", '"', "-state:",
]) {
  test(`"${filter}" finds the row`, () => assert.ok(passes(filter)));
}

for (const filter of [
  "nonesuch", "echo nonesuch", "cell:1", "cell:33", "state:closed", "-echo", "-state:half", "peer:8007",
  "local:40001", "kind:port", "kind:client", "id:1", "state:open,closing", "-state:open,half", "constructor:x",
]) {
  test(`"${filter}" does not find the row`, () => assert.ok(!passes(filter)));
}

test("quoted words may hold spaces", () => {
  assert.ok(passes('"two words"', { protocol: "Two Words" }));
  assert.ok(!passes('"two words"', { protocol: "words two" }));
});

test("a quoted value may hold a comma", () => {
  assert.ok(passes('proto:"a,b"', { protocol: "a,b" }));
  assert.ok(!passes('proto:"a,b"', { protocol: "a" }));
});

test("a row that changed is searched anew once its text is forgotten", () => {
  const changing = row();
  assert.ok(rowMatches(changing, parseFilter("echo")));
  Object.assign(changing, { protocol: "Chat", search: undefined });
  assert.ok(!rowMatches(changing, parseFilter("echo")));
});
