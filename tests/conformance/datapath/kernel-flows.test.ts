/**
 * Flows in the kernel's maps, packet by packet: programs run by BPF_PROG_TEST_RUN, in the midst of a
 * change that is not written yet.
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import type { DpAction } from "../../../src/fastpath/actions.ts";
import { KernelFlows } from "../../../src/fastpath/ebpf/kernel-flows.ts";
import { assembleEntry } from "../../../src/fastpath/ebpf/main-program.ts";
import { closeMaps, type DatapathMaps, openDatapathMaps } from "../../../src/fastpath/ebpf/maps.ts";
import { loadTcProgram, testProgram } from "../../../src/linux/bpf-program.ts";
import { close } from "../../../src/linux/libc.ts";
import { LogSink } from "../../../src/log/log.ts";
import { describePrivileged } from "../../support/privileged.ts";
import { frameOf, matchOf } from "./bench.ts";

const FLOWS = 64;
const PORT = 1;
const [OTHER_PORT, THIRD_PORT] = [8, 9];
const TC_ACT_REDIRECT = 7;

const output = (port: number): DpAction => ({ type: "output", port });
const from = (port: number) => matchOf({ in_port_oxm: String(port), eth_type: "0x800" });

describePrivileged("flows in the kernel", [], () => {
  let maps: DatapathMaps;
  let kernel: KernelFlows;
  let entry: number;
  /** Ports that nothing can be sent to. */
  const gone = new Set<number>();

  beforeEach(() => {
    maps = openDatapathMaps(FLOWS);
    kernel = new KernelFlows({
      maps,
      puntIfindex: 1,
      maxFlows: FLOWS,
      half: 0,
      held: false,
      alwaysExact: true,
      receives: () => true,
      targetOf: (port) => gone.has(port) ? undefined : { ifindex: 1, ingress: false },
      logger: new LogSink(() => {}).logger("test"),
    });
    entry = loadTcProgram(assembleEntry(PORT, maps.programs).bytes, "solovs_test");
  });

  afterEach(() => {
    close(entry);
    kernel.close();
    closeMaps(maps);
  });

  const send = (): number => testProgram(entry, frameOf(), 1).result;

  test("the cache learns nothing of a flow that is going which its number's next flow would get", () => {
    kernel.put({ id: 0, match: from(PORT), actions: [output(2)] });
    // Their mask stays.
    kernel.put({ id: 1, match: from(OTHER_PORT), actions: [output(2)] });
    kernel.flush();
    expect(send()).toBe(TC_ACT_REDIRECT);
    expect(kernel.records.packets(0)).toBe(1);

    kernel.delete(0);
    // Its key is still there.
    send();
    kernel.flush();

    kernel.records.clearStats(0);
    kernel.put({ id: 0, match: from(THIRD_PORT), actions: [] });
    kernel.flush();
    // A punt: no flow of this port's.
    expect(send()).toBe(TC_ACT_REDIRECT);
    expect(kernel.records.packets(0)).toBe(0);
  });

  test("a port that changes concerns the flows that send to it, and no others", () => {
    let looks = 0;
    const watched: DpAction = { ...output(3) };
    Object.defineProperty(watched, "type", { get: () => (looks++, "output") });
    kernel.put({ id: 0, match: from(PORT), actions: [output(2)] });
    kernel.put({ id: 1, match: from(OTHER_PORT), actions: [watched] });
    kernel.put({ id: 2, match: from(THIRD_PORT), actions: [output(2), output(4)] });
    looks = 0;
    gone.add(2);
    kernel.portChanged(2);
    expect([0, 1, 2].map((id) => kernel.reason(id) === undefined)).toEqual([false, true, false]);
    expect(looks).toBe(0);

    kernel.delete(0);
    gone.delete(2);
    kernel.portChanged(2);
    expect([1, 2].map((id) => kernel.reason(id))).toEqual([undefined, undefined]);
    expect(kernel.size).toBe(2);
    expect(looks).toBe(0);
  });
});
