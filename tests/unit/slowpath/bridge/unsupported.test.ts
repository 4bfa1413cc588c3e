import { expect, test } from "bun:test";
import { unsupportedInterface } from "../../../../src/slowpath/bridge/unsupported.ts";

const found = (type: string, options: Record<string, string>, lldp: Record<string, string> = {}) =>
  unsupportedInterface({
    type,
    options: new Map(Object.entries(options)),
    lldp: new Map(Object.entries(lldp)),
    ingress_policing_rate: 7,
    ingress_policing_kpkts_rate: 0,
  } as never, true);

test("a device's options with values that are none are named", () => {
  expect(found("", { n_rxq: "8", io: "libpcap" })).toEqual([]);
  expect(found("", { n_rxq: "9" })).toEqual(["options:n_rxq=9 (not 1 to 8)"]);
  expect(found("system", { n_rxq: "many", io: "magic" })).toEqual([
    "options:n_rxq=many (not 1 to 8)",
    "options:io=magic (not libpcap)",
  ]);
  expect(found("patch", { n_rxq: "9" }, { enable: "true" })).toEqual(["lldp:enable"]);
});
