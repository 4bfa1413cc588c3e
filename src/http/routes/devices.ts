/** `/api/v1/devices`: the host's network interfaces, for whoever wants to attach one to a bridge. */
import { z } from "zod";
import { addressesByDevice, reachOf } from "../reach.ts";
import { collection } from "./collection.ts";

export const devicesSchema = z.object({
  devices: z.array(z.object({
    name: z.string(),
    ifindex: z.number().int(),
    mac: z.string().nullable(),
    mtu: z.number().int(),
    adminUp: z.boolean(),
    linkUp: z.boolean(),
    loopback: z.boolean(),
    kind: z.string().nullable().describe("`veth`, `bridge` …; null: hardware."),
    driver: z.string().nullable(),
    linkSpeedBps: z.number().nullable(),
    bridge: z.string().nullable().describe("The bridge that has it as a port."),
    addresses: z.array(z.string()),
    carriesYou: z.boolean().describe(
      "Your own connection comes in by it: attached to a bridge, its addresses do not answer any more.",
    ),
    defaultRoute: z.boolean().describe("The host's way to everywhere else."),
  })),
  local: z.boolean().describe("You are connected from this host itself."),
});
export type DevicesJson = z.infer<typeof devicesSchema>;

export const listDevices = collection("devices", {
  tag: "Switch",
  summary: "The host's network interfaces",
  response: devicesSchema,
  handle({ source, address }) {
    const { towards, defaults } = reachOf(address);
    const addresses = addressesByDevice();
    const devices = source.vswitch.observe.devices().map((device) => ({
      ...device,
      addresses: [...addresses.get(device.name) ?? []],
      carriesYou: device.name === towards,
      defaultRoute: defaults.has(device.name),
    }));
    return { json: { devices, local: towards === undefined } };
  },
});
