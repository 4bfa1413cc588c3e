/** Messages with a message inside, which is one of the same version. */
import { encode } from "../../../src/openflow/codec.ts";
import { METER_FLAGS } from "../../../src/openflow/messages/types.ts";
import { type Fixture, from } from "./fixture.ts";

const XID = 0x77;

export const NESTED_FIXTURES: readonly Fixture[] = from(4).flatMap((version): Fixture[] => {
  const form = version === 4 ? { form: "onf" as const } : {};
  const barrier = encode(version, XID, {
    type: "port_mod",
    port: 1,
    hwAddr: Uint8Array.of(2, 0, 0, 0, 0, 1),
    config: 1,
    mask: 1,
    advertise: 0,
  });
  const meter = encode(version, XID, {
    type: "meter_mod",
    command: "add",
    meter: 3,
    flags: METER_FLAGS.KBPS,
    bands: [{ type: "drop", rate: 1000, burst: 0 }],
  });
  const versions = [version];
  return [
    {
      name: `bundle add, ${version}`,
      message: { type: "bundle_add", ...form, bundle: 7, flags: 3, inner: barrier },
      versions,
    },
    {
      name: `request forward, ${version}`,
      message: { type: "requestforward", ...form, inner: meter },
      versions,
    },
  ];
});
