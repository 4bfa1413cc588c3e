/** BFD sessions and messages in words: `ovs-appctl bfd/show`, and the log. */
import { type Bfd } from "./bfd.ts";
import { bfdFlagText, type BfdMessage, diagnosticText } from "./bfd-message.ts";

const ofNow = (ms: number): string => `now ${ms < 0 ? "" : "+"}${Math.round(ms)}ms`;
const hex = (value: number): string => `0x${value.toString(16)}`;

export function describeBfd(session: Bfd, now: number): string {
  const { settings } = session;
  return [
    `  Forwarding: ${session.forwarding}`,
    `  Detect Multiplier: ${settings.multiplier}`,
    `  Concatenated Path Down: ${settings.pathDown}`,
    `  TX Interval: Approx ${session.txIntervalMs}ms`,
    `  RX Interval: Approx ${session.rxIntervalMs}ms`,
    `  Detect Time: ${ofNow(session.detectMs - now)}`,
    `  Next TX Time: ${ofNow(session.nextTxMs - now)}`,
    `  Last TX Time: ${ofNow(session.lastTxMs - now)}`,
    "",
    `  Local Flags: ${bfdFlagText(session.flags)}`,
    `  Local Session State: ${session.state}`,
    `  Local Diagnostic: ${diagnosticText(session.diagnostic)}`,
    `  Local Discriminator: ${hex(session.discriminator)}`,
    `  Local Minimum TX Interval: ${session.sentMinTxMs}ms`,
    `  Local Minimum RX Interval: ${session.minRxMs}ms`,
    "",
    `  Remote Flags: ${bfdFlagText(session.remoteFlags)}`,
    `  Remote Session State: ${session.remoteState}`,
    `  Remote Diagnostic: ${diagnosticText(session.remoteDiagnostic)}`,
    `  Remote Discriminator: ${hex(session.remoteDiscriminator)}`,
    `  Remote Minimum TX Interval: ${session.remoteMinTxMs}ms`,
    `  Remote Minimum RX Interval: ${session.remoteMinRxMs}ms`,
    `  Remote Detect Multiplier: ${session.remoteMultiplier}`,
    "",
  ].join("\n");
}

export function describeMessage({ name }: Bfd, message: BfdMessage, what: string): string {
  const interval = (label: string, us: number): string =>
    `\n  ${label}:${us}us (${Math.floor(us / 1000)}ms)`;
  return `${name}: ${what}.\n  vers:${message.version} ` +
    `diag:"${diagnosticText(message.diagnostic)}" state:${message.state} ` +
    `mult:${message.multiplier} length:${message.lengthBytes}` +
    `\n  flags: ${bfdFlagText(message.flags)}` +
    `\n  my_disc:${hex(message.myDiscriminator)} your_disc:${hex(message.yourDiscriminator)}` +
    interval("min_tx", message.minTxUs) + interval("min_rx", message.minRxUs) +
    interval("min_rx_echo", message.minEchoRxUs);
}
