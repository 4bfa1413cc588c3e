/** Meters (OpenFlow 1.3.5 §7.3.4.5, §7.3.5.12–§7.3.5.14). */
import type { MeterMod, MeterRequest } from "../../../openflow/messages/types.ts";
import { MAX_BANDS, MAX_METERS, type Meter } from "../../pipeline/meters.ts";
import type { Agent } from "../agent.ts";

/** OFPMBT_DROP and OFPMBT_DSCP_REMARK. */
const BAND_TYPES = (1 << 1) | (1 << 2);
/** OFPMF_KBPS, PKTPS, BURST, STATS. */
const CAPABILITIES = 0b1111;

export function applyMeterMod(agent: Agent, request: MeterMod): void {
  const { meters } = agent.bridge.tables;
  const { command, meter, flags, bands } = request;
  switch (command) {
    case "add":
      return meters.add({ meter, flags, bands });
    case "modify":
      return meters.modify({ meter, flags, bands });
    case "delete":
      return meters.delete(meter);
    default: {
      const never: never = command;
      throw new Error(`meter-mod command ${never}`);
    }
  }
}

export function answerMeterRequest(agent: Agent, request: MeterRequest, xid: number): void {
  const chosen = agent.bridge.tables.meters.select(request.meter);
  if (request.type === "meter_config_request") {
    const meters = chosen.map(({ config }) => config);
    return agent.send({ type: "meter_config_reply", meters }, xid);
  }
  const meters = chosen.map((meter) => statsOf(agent, meter));
  agent.send({ type: "meter_stats_reply", meters }, xid);
}

function statsOf(agent: Agent, meter: Meter) {
  const ageMs = Math.max(0, Math.floor(agent.bridge.clock.now() - meter.createdMs));
  return {
    meter: meter.config.meter,
    flows: agent.bridge.tables.meters.references(meter.config.meter),
    packets: BigInt(meter.packets),
    bytes: BigInt(meter.bytes),
    durationSeconds: Math.floor(ageMs / 1000),
    durationNanoseconds: (ageMs % 1000) * 1e6,
    bands: meter.buckets.map(({ packets, bytes }) => ({
      packets: BigInt(packets),
      bytes: BigInt(bytes),
    })),
  };
}

export function answerMeterFeatures(agent: Agent, xid: number): void {
  agent.send({
    type: "meter_features_reply",
    maxMeters: MAX_METERS,
    bandTypes: BAND_TYPES,
    capabilities: CAPABILITIES,
    maxBands: MAX_BANDS,
    maxColor: 0,
  }, xid);
}
