import { expect, test } from "bun:test";
import { possibleCpus, shardsFor } from "../../../../src/fastpath/ebpf/shards.ts";

test("the CPUs of a list as the kernel writes it", () => {
  expect(possibleCpus("0\n")).toBe(1);
  expect(possibleCpus("0-3\n")).toBe(4);
  expect(possibleCpus("0-3,8,10-11\n")).toBe(12);
});

test("each CPU has its own shard as long as there are not too many", () => {
  expect(shardsFor(1)).toEqual({ count: 1, own: true });
  expect(shardsFor(3)).toEqual({ count: 4, own: true });
  expect(shardsFor(8)).toEqual({ count: 8, own: true });
  expect(shardsFor(9)).toEqual({ count: 8, own: false });
});
