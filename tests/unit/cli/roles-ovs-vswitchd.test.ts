import { describe, expect, test } from "bun:test";
import { Fatal } from "../../../src/cli/clients/fatal.ts";
import {
  parseSwitchOptions,
  type SwitchOptions,
} from "../../../src/cli/roles/ovs-vswitchd/options.ts";
import { ReceivedPackets } from "../../../src/cli/roles/ovs-vswitchd/received-packets.ts";
import { Vlog } from "../../../src/cli/roles/vlog.ts";

const WHERE = { run: "/run/x", log: "/log/x", db: "/db/x" };

const parse = (...words: string[]): SwitchOptions =>
  parseSwitchOptions(words, new Vlog("ovs-vswitchd", ["vconn"], () => {}), WHERE);

describe("ovs-vswitchd's options", () => {
  test("without any, it is a client of the database on this machine", () => {
    const { remote, dummy, disableSystem, lockMemory, unixctl, daemon } = parse();
    expect(remote).toBe("unix:/run/x/db.sock");
    expect([dummy, disableSystem, lockMemory, unixctl]).toEqual([
      undefined,
      false,
      false,
      undefined,
    ]);
    expect(daemon.detach).toBe(false);
  });

  test("as Open vSwitch's suite gives them", () => {
    const options = parse(
      ..."--enable-dummy=override --disable-system --disable-system-route --detach --no-chdir"
        .split(" "),
      ..."--pidfile --log-file -vvconn -vconsole:off tcp:[::1]:6640".split(" "),
    );
    expect(options).toMatchObject({
      remote: "tcp:[::1]:6640",
      dummy: "override",
      disableSystem: true,
      daemon: { detach: true, noChdir: true, pidFile: "/run/x/ovs-vswitchd.pid" },
      log: { file: "/log/x/ovs-vswitchd.log" },
    });
    expect(parse("--enable-dummy").dummy).toBe("none");
    expect(parse("--enable-dummy=system").dummy).toBe("system");
  });

  test.each(["--enable-dummy=x", "--dpdk", "--frob", "-vnobody", "unix:a unix:b"])(
    "%p is refused",
    (words) => {
      expect(() => parse(...words.split(" "))).toThrow(Fatal);
    },
  );
});

describe("packets for netdev-dummy/receive", () => {
  const HEX = "50540000000a5054000000091234";
  const FLOW = "in_port(1),eth(src=50:54:00:00:00:09,dst=50:54:00:00:00:0a),eth_type(0x1234)";
  const lengths = (...words: string[]) => new ReceivedPackets(words).frames.map((f) => f.length);

  test("are hexadecimal digits or flows, in any number", () => {
    const { frames, problem } = new ReceivedPackets([
      "--qid",
      "0",
      `${HEX.slice(0, 12)} ${HEX.slice(12)}`,
    ]);
    expect([Buffer.from(frames[0]!).toString("hex"), problem]).toEqual([HEX, undefined]);
    expect(lengths(HEX, FLOW, HEX).length).toBe(3);
    expect(lengths(FLOW, "--len", "100")).toEqual([100]);
    expect(Buffer.from(new ReceivedPackets([FLOW]).frames[0]!).toString("hex")).toStartWith(HEX);
  });

  test("those before a bad one count, and it is told what is wrong", () => {
    const { frames, problem } = new ReceivedPackets([HEX, FLOW, "--len", "10", HEX]);
    expect([frames.length, problem]).toEqual([1, "too small packet len"]);
    expect(new ReceivedPackets(["nonsense"]).problem).toMatch(/syntax error/);
    expect(new ReceivedPackets([HEX.slice(2)]).problem).toMatch(/syntax error/);
  });
});
