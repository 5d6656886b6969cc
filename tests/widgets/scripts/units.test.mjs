import assert from "node:assert/strict";
import { test } from "node:test";
import { ageText, areaPoints, bytesText, countText, rateText } from "../../../widgets/wirebook_widgets/static/units.js";

for (const [count, text] of [
  [0, "0 B"], [1, "1 B"], [999, "999 B"], [1000, "1.0 KiB"], [1024, "1.0 KiB"], [1229, "1.2 KiB"],
  [102_400, "100 KiB"], [1023 * 1024, "1.0 MiB"], [3.4 * 1024 ** 2, "3.4 MiB"], [5 * 1024 ** 4, "5.0 TiB"],
  [5000 * 1024 ** 4, "5000 TiB"],
]) {
  test(`${count} bytes read "${text}"`, () => assert.equal(bytesText(count), text));
}

for (const [seconds, text] of [
  [-1, "0s"], [0, "0s"], [59.9, "59s"], [60, "1m 00s"], [245, "4m 05s"], [3600, "1h 00m"], [4320, "1h 12m"],
  [86_400 * 3 + 3600 * 4, "3d 04h"],
]) {
  test(`${seconds} seconds read "${text}"`, () => assert.equal(ageText(seconds), text));
}

test("silence is a dash", () => assert.equal(rateText(0.4), "–"));
test("a rate is per second", () => assert.equal(rateText(2048), "2.0 KiB/s"));
test("one is singular", () => assert.equal(countText(1, "port"), "1 port"));
test("many are plural and grouped", () => assert.equal(countText(10_000, "port"), "10,000 ports"));

const BOX = { width: 10, height: 8, baseline: 9 };

test("an area rises to its full height at the peak", () => {
  assert.equal(areaPoints([0, 4, 2], 4, { ...BOX, sign: 1 }), "0,9 0.0,9.0 5.0,1.0 10.0,5.0 10,9");
});

test("the other direction is drawn downwards", () => {
  assert.equal(areaPoints([0, 4], 4, { ...BOX, sign: -1 }), "0,9 0.0,9.0 10.0,17.0 10,9");
});

test("an area of nothing is flat", () => {
  assert.equal(areaPoints([0, 0], 0, { ...BOX, sign: 1 }), "0,9 0.0,9.0 10.0,9.0 10,9");
});
