import { expect, test } from "bun:test";
import type { Upcall } from "../../../src/fastpath/datapath.ts";
import { FlowKey } from "../../../src/packet/key.ts";
import { FIELDS } from "../../../src/packet/layout.ts";
import { UpcallQueue } from "../../../src/slowpath/cache/upcall-queue.ts";

function from(port: number, userdata: number): Upcall {
  const key = new FlowKey();
  key.set(FIELDS.in_port, port);
  return { reason: "miss", packet: { data: new Uint8Array() }, key, userdata };
}

test("ports are served in turn, each in its own order", () => {
  const queue = new UpcallQueue();
  for (let i = 0; i < 3; i++) queue.push(from(1, i));
  queue.push(from(2, 10));
  queue.push(from(3, 20));
  const order = Array.from({ length: 5 }, () => queue.shift()?.userdata);
  expect(order).toEqual([0, 10, 20, 1, 2]);
  expect(queue.shift()).toBeUndefined();
  expect(queue.size).toBe(0);
});

test("a port that floods leaves room for the others", () => {
  const queue = new UpcallQueue();
  let taken = 0;
  while (queue.push(from(1, 0))) taken++;
  expect(queue.push(from(2, 1))).toBe(true);
  queue.shift();
  expect(queue.shift()?.userdata).toBe(1);
  expect(queue.size).toBe(taken - 1);
});

test("all ports together have an end, too", () => {
  const queue = new UpcallQueue();
  let port = 0;
  while (queue.push(from(port++, 0))) expect(port).toBeLessThan(100_000);
  expect(queue.size).toBe(port - 1);
});
