/** `dpctl/del-if`: takes a port off the datapath, until the bridges are set up anew. */
import { detachPort } from "../bridge/attach.ts";
import type { Bridge } from "../bridge/bridge.ts";
import type { BridgePort } from "../bridge/ports.ts";
import { type DpctlContext, dpctlError, openDatapath } from "./request.ts";

const NUMBER = /^\d+$/;

/** `dpctl/del-if dp netdev…`, each by its name or its number on the datapath. */
export async function deletePorts(
  context: DpctlContext,
  args: readonly string[],
): Promise<string> {
  const { backend, rest } = openDatapath(context, args, 1);
  for (const name of rest) {
    const found = portOf(context, name);
    if (!found) throw dpctlError(`no port named ${name}`);
    await detachPort(backend, context.devices, found.bridge, found.port);
  }
  return "";
}

function portOf(
  { bridges }: DpctlContext,
  name: string,
): { bridge: Bridge; port: BridgePort } | undefined {
  const number = NUMBER.test(name) ? Number(name) : undefined;
  for (const bridge of bridges().values()) {
    for (const port of bridge.ports.values()) {
      if (port.dpPort === undefined) continue;
      if (number === undefined ? port.name === name : port.dpPort === number) {
        return { bridge, port };
      }
    }
  }
  return undefined;
}
