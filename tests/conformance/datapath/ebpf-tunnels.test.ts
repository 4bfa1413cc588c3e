/**
 * What programs say to tunnel devices and what they read from them, without a device: a program notes a
 * tunnel with a packet as an action program does, and goes on with a tunnel port's entry program, as if
 * the packet had come to the other end. So Geneve and GRE are tried on kernels that lack them, too.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { DpTunnel } from "../../../src/fastpath/actions.ts";
import type { TunnelTarget } from "../../../src/fastpath/ebpf/action-plan.ts";
import { Assembler, reg } from "../../../src/fastpath/ebpf/assembler.ts";
import { R0, R1, R10, R2, R3, R6, R7 } from "../../../src/fastpath/ebpf/instructions.ts";
import { closeMaps, type DatapathMaps, openDatapathMaps } from "../../../src/fastpath/ebpf/maps.ts";
import {
  findState,
  STATE_BYTES,
  STATE_LIVE,
  STATE_METADATA,
  STATE_WORDS,
} from "../../../src/fastpath/ebpf/packet-state.ts";
import { tryTunnelMetadata } from "../../../src/fastpath/ebpf/tunnel-devices.ts";
import { assembleTunnelEntry } from "../../../src/fastpath/ebpf/tunnel-entry.ts";
import {
  emitSetTunnel,
  optionBytes,
  tunnelArguments,
} from "../../../src/fastpath/ebpf/tunnel-step.ts";
import { readTunnel } from "../../../src/fastpath/tunnel-key.ts";
import { BpfMap } from "../../../src/linux/bpf-map.ts";
import { loadTcProgram, testProgram } from "../../../src/linux/bpf-program.ts";
import { close, SystemError } from "../../../src/linux/libc.ts";
import { FlowKey } from "../../../src/packet/key.ts";
import { METADATA_WORD, TUN_F_CSUM, TUN_F_DF, TUN_F_KEY } from "../../../src/packet/layout.ts";
import { describePrivileged } from "../../support/privileged.ts";

const PASSED = 7;
const FRAME = new Uint8Array(60);
const HERE = Uint8Array.of(10, 1, 2, 3);
const THERE = Uint8Array.of(10, 1, 2, 4);
const HERE6 = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
const THERE6 = Uint8Array.from({ length: 16 }, (_, i) => 0xf0 - i);
const KEY = -8;

/** In the place of the main program: this CPU's state goes where this process can read it. */
function copyState(state: BpfMap, to: BpfMap): Uint8Array {
  const asm = new Assembler().store(32, R10, KEY, STATE_LIVE);
  findState(asm, state, KEY);
  asm.jumpIf("eq", R0, 0, "end").loadMapValue(R1, to);
  for (let at = 0; at < STATE_BYTES; at += 8) asm.load(64, R2, R0, at).store(64, R1, at, reg(R2));
  return asm.mov(R0, PASSED).label("end").exit().finish().bytes;
}

/** Linux before 6.0 tells programs too little. */
function isTold(): boolean {
  try {
    tryTunnelMetadata();
    return true;
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return false;
  }
}

describePrivileged("tunnels of programs", [], () => {
  let maps: DatapathMaps;
  let copy: BpfMap;
  beforeAll(() => {
    maps = openDatapathMaps(16);
    const entry = { keyBytes: 4, valueBytes: STATE_BYTES, maxEntries: 1, mapped: true } as const;
    copy = BpfMap.create({ kind: "array", name: "solovs_test", ...entry });
  });
  afterAll(() => {
    closeMaps(maps);
    copy.close();
  });

  const slot = (number: number) => new Uint8Array(new Uint32Array([number]).buffer);

  function install(number: number, bytes: Uint8Array): void {
    const fd = loadTcProgram(bytes, "solovs_test");
    maps.programs.update(slot(number), slot(fd));
    close(fd);
  }

  /** What the packet's state says of the tunnel after both programs. */
  function roundTrip(tunnel: DpTunnel, target: TunnelTarget): DpTunnel | undefined {
    const args = tunnelArguments(tunnel, target);
    if (typeof args === "string") throw new Error(args);
    install(0, copyState(maps.state, copy));
    install(1, assembleTunnelEntry(9, target, maps).bytes);
    const asm = new Assembler().mov(R6, reg(R1)).mov(R7, reg(R10));
    const room = (args.length + 7) & ~7;
    asm.op("add", R7, -room);
    const view = new DataView(args.buffer);
    for (let at = 0; at < args.length; at += 4) asm.store(32, R7, at, view.getUint32(at, true));
    emitSetTunnel(asm, { kind: "set_tunnel", at: 0, optionBytes: optionBytes(args) });
    asm.mov(R1, reg(R6)).loadMap(R2, maps.programs).mov(R3, 1).call("tail_call");
    const fd = loadTcProgram(asm.label("drop").mov(R0, 2).exit().finish().bytes, "solovs_test");
    try {
      expect(testProgram(fd, FRAME, 1).result).toBe(PASSED);
    } finally {
      close(fd);
    }
    const record = new Uint8Array(copy.map());
    const words = new DataView(record.buffer).getUint32(STATE_WORDS, true);
    const key = new FlowKey();
    const metadata = record.subarray(STATE_METADATA, STATE_METADATA + 4 * words);
    key.bytes.set(metadata, 4 * METADATA_WORD);
    return readTunnel(key);
  }

  const cases: readonly (readonly [name: string, TunnelTarget, DpTunnel])[] = [
    ["VXLAN", { kind: "vxlan", udpPort: 4789, gbp: false }, {
      id: 0x123456n,
      src: HERE,
      dst: THERE,
      tos: 0x48,
      ttl: 33,
      flags: TUN_F_KEY | TUN_F_DF | TUN_F_CSUM,
    }],
    ["VXLAN over IPv6, with a group policy", { kind: "vxlan", udpPort: 4790, gbp: true }, {
      id: 1n,
      src: HERE6,
      dst: THERE6,
      ttl: 64,
      flags: TUN_F_KEY | TUN_F_CSUM,
      gbpId: 0x1234,
      gbpFlags: 0x48,
    }],
    ["Geneve with options", { kind: "geneve", udpPort: 6081, gbp: false }, {
      id: 7n,
      src: HERE,
      dst: THERE,
      ttl: 64,
      flags: TUN_F_KEY,
      options: Uint8Array.of(1, 2, 0x80, 1, 9, 8, 7, 6, 0, 1, 2, 0),
    }],
    ["GRE, a key of 32 bits", { kind: "gre", udpPort: 0, gbp: false }, {
      id: 0xfedcba98n,
      src: HERE,
      dst: THERE,
      ttl: 1,
      flags: TUN_F_KEY | TUN_F_CSUM,
    }],
  ];
  for (const [name, target, tunnel] of cases) {
    test(name, () => {
      if (!isTold()) return;
      const wanted = { ...tunnel, ...(target.udpPort && { tpDst: target.udpPort }) };
      expect(roundTrip(tunnel, target)).toMatchObject(wanted as object);
    });
  }

  test("what a device cannot be told is the process's", () => {
    const vxlan: TunnelTarget = { kind: "vxlan", udpPort: 4789, gbp: false };
    const gre: TunnelTarget = { kind: "gre", udpPort: 0, gbp: false };
    const reasons = [
      tunnelArguments({ id: 1n << 24n, dst: THERE }, vxlan),
      tunnelArguments({ dst: THERE, tpDst: 4790 }, vxlan),
      tunnelArguments({ dst: THERE6, src: HERE }, vxlan),
      tunnelArguments({ dst: THERE6 }, gre),
    ];
    expect(reasons.map((reason) => typeof reason)).toEqual([
      "string",
      "string",
      "string",
      "string",
    ]);
  });
});
