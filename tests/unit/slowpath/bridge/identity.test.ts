import { describe, expect, test } from "bun:test";
import { formatMac, parseMac } from "../../../../src/packet/address.ts";
import {
  chooseDatapathId,
  chooseMac,
  defaultMac,
  formatDatapathId,
} from "../../../../src/slowpath/bridge/identity.ts";

const UUID = "f1a2b3c4-d5e6-4788-99aa-bbccddeeff00";
const macs = (...texts: string[]) => texts.map((text) => parseMac(text)!);

describe("a bridge's address", () => {
  test("other_config:hwaddr wins", () => {
    const { mac } = chooseMac(UUID, "02:00:00:00:00:07", macs("00:11:22:33:44:55"));
    expect(formatMac(mac)).toBe("02:00:00:00:00:07");
  });

  test("else the lowest globally unique unicast address of a port", () => {
    const { mac } = chooseMac(
      UUID,
      undefined,
      macs("00:11:22:33:44:66", "02:00:00:00:00:01", "00:11:22:33:44:55", "00:e0:2b:00:00:00"),
    );
    expect(formatMac(mac)).toBe("00:11:22:33:44:55");
  });

  test("else one from the record's UUID, unicast and local", () => {
    const { mac } = chooseMac(UUID, undefined, macs("0a:00:00:00:00:01", "01:00:5e:00:00:01"));
    expect(mac).toEqual(defaultMac(UUID));
    expect(mac[0]! & 3).toBe(2);
  });

  test.each(["01:00:00:00:00:01", "00:00:00:00:00:00", "nonsense"])(
    "a bad hwaddr %s is reported and passed over",
    (hwaddr) => {
      const choice = chooseMac(UUID, hwaddr, []);
      expect(choice.mac).toEqual(defaultMac(UUID));
      expect(choice.problem).toBeString();
    },
  );
});

describe("a bridge's datapath id", () => {
  const mac = parseMac("00:11:22:33:44:55")!;
  test.each([
    ["00000000000000ab", "00000000000000ab"],
    ["0xab", "00000000000000ab"],
    ["fedcba9876543210", "fedcba9876543210"],
  ])("%s is taken", (wanted, id) => {
    const choice = chooseDatapathId(wanted, mac);
    expect(formatDatapathId(choice.datapathId)).toBe(id);
    expect(choice.problem).toBeUndefined();
  });

  test.each(["ab", "0000000000000000", "0x0", "zz00000000000000"])("%s is not", (wanted) => {
    const choice = chooseDatapathId(wanted, mac);
    expect(formatDatapathId(choice.datapathId)).toBe("0000001122334455");
    expect(choice.problem).toContain(wanted);
  });
});
