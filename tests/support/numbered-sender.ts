/**
 * A process of its own that sends numbered frames on a device of its namespace:
 *
 *     bun numbered-sender.ts DEVICE FIRST END        up to END, a millisecond's rest after each eight
 *
 * Frames have 60 bytes, EtherType 0x88b6 (for experiments) and the number behind it. It ends with 0
 * when the device has taken all of them.
 */
import { ethernet } from "./frames.ts";
import { RawPort } from "./raw-port.ts";

const [device, first, end] = process.argv.slice(2);
const port = new RawPort({ inside: (body) => body() }, device!);
const payload = new Uint8Array(46);
for (let number = Number(first); number < Number(end); number++) {
  new DataView(payload.buffer).setUint32(0, number);
  while (!port.send(ethernet("02:00:00:00:00:02", "02:00:00:00:00:01", 0x88b6, payload)));
  if (number % 8 === 0) Bun.sleepSync(1);
}
