/** `ovs-appctl dpif/show-dp-features` and `dpif/set-dp-features`. */
import type { Backend } from "../bridge/backend.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { CommandError, type UnixctlServer } from "../unixctl.ts";

export interface FeatureContext {
  readonly bridges: () => ReadonlyMap<string, Bridge>;
}

export function registerFeatureCommands(server: UnixctlServer, { bridges }: FeatureContext): void {
  const features = (name = ""): Backend["features"] => {
    const bridge = bridges().get(name);
    if (!bridge) throw new CommandError("no such bridge");
    return bridge.backend.features;
  };
  server.register("dpif/show-dp-features", {
    usage: "bridge",
    minArguments: 1,
    maxArguments: 1,
    run: ([name]) => features(name).show(),
  });
  server.register("dpif/set-dp-features", {
    usage: "bridge",
    minArguments: 1,
    maxArguments: 3,
    run: ([name, feature, value]) => features(name).set(feature, value),
  });
}
