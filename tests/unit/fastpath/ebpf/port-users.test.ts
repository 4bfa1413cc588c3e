import { expect, test } from "bun:test";
import type { DpAction } from "../../../../src/fastpath/actions.ts";
import { PortUsers } from "../../../../src/fastpath/ebpf/port-users.ts";

const output = (port: number): DpAction => ({ type: "output", port });

test("flows are found by the ports that they send to, also in lists of lists", () => {
  const users = new PortUsers();
  const nested: DpAction[] = [
    output(1),
    { type: "clone", actions: [output(2), output(1)] },
    { type: "check_pkt_len", length: 100, greater: [output(3)], lessEqual: [] },
  ];
  users.add(7, nested);
  users.add(8, [output(2)]);
  expect([1, 2, 3, 4].map((port) => users.of(port))).toEqual([[7], [7, 8], [7], []]);
  users.remove(7, nested);
  expect([1, 2, 3].map((port) => users.of(port))).toEqual([[], [8], []]);
});
