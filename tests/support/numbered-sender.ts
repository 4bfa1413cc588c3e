/**
 * A process of its own that sends numbered frames on a device of its namespace:
 *
 *     bun numbered-sender.ts DEVICE COUNT BATCH      a millisecond's rest after each batch; 0: none
 *
 * Frames have 60 bytes, EtherType 0x88b6 (for experiments) and the number behind it. It ends with 0
 * when the device has taken all of them.
 */
import { ethernet } from "./frames.ts";
import { RawPort } from "./raw-port.ts";

const [device, count, batch] = process.argv.slice(2);
const port = new RawPort({ inside: (body) => body() }, device!);
const payload = new Uint8Array(46);
for (let number = 0; number < Number(count); number++) {
  new DataView(payload.buffer).setUint32(0, number);
  while (!port.send(ethernet("02:00:00:00:00:02", "02:00:00:00:00:01", 0x88b6, payload)));
  if (number % Number(batch) === 0) Bun.sleepSync(1);
}
