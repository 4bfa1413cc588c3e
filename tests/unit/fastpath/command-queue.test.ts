import { expect, test } from "bun:test";
import { CommandQueue } from "../../../src/fastpath/userspace/command-queue.ts";
import { RingReader } from "../../../src/fastpath/userspace/ring.ts";
import {
  CTL_BACKLOG,
  CTL_WORKER_SLEEPING,
  SharedState,
} from "../../../src/fastpath/userspace/shared.ts";
import { close, eventfd, readFd } from "../../../src/linux/libc.ts";

test("commands that find the ring full wait in order, and none is lost", () => {
  const shared = new SharedState();
  const fd = eventfd();
  const queue = new CommandQueue(shared, fd);
  const reader = new RingReader(shared.commands);
  const total = 200;
  for (let i = 0; i < total; i++) queue.send(new Int32Array(4000).fill(i));
  expect(queue.waiting).toBeGreaterThan(0);
  expect(queue.isDone).toBe(false);
  expect(shared.control[CTL_BACKLOG]).toBe(1);
  const seen: number[] = [];
  while (seen.length < total) {
    const at = reader.next();
    if (at < 0) {
      const waiting = queue.waiting;
      queue.drain();
      expect(queue.waiting).toBeLessThan(waiting);
      continue;
    }
    seen.push(reader.memory.words[at >> 2]!);
    reader.release();
  }
  expect(seen).toEqual(Array.from({ length: total }, (_, i) => i));
  expect(queue.waiting).toBe(0);
  expect(queue.isDone).toBe(true);
  expect(shared.control[CTL_BACKLOG]).toBe(0);
  close(fd);
});

test("a command fits if the ring takes it, empty", () => {
  const shared = new SharedState();
  const fd = eventfd();
  const queue = new CommandQueue(shared, fd);
  const reader = new RingReader(shared.commands);
  const most = 131_070;
  expect([queue.fits(most), queue.fits(most + 1)]).toEqual([true, false]);
  // From wherever the ring's end is.
  for (const before of [0, 10_000, 100_000]) {
    if (before > 0) {
      queue.send(new Int32Array(before));
      reader.next();
      reader.release();
    }
    queue.room(most).words[queue.at] = before + 1;
    queue.sent();
    expect(queue.waiting).toBe(0);
    expect(reader.memory.words[reader.next() >> 2]).toBe(before + 1);
    reader.release();
  }
  close(fd);
});

test("only a sleeping worker is woken, and once", () => {
  const shared = new SharedState();
  const fd = eventfd();
  const queue = new CommandQueue(shared, fd);
  const word = new Uint8Array(8);
  queue.send(new Int32Array(2));
  expect(readFd(fd, word)).toBe(-1);
  shared.control[CTL_WORKER_SLEEPING] = 1;
  queue.send(new Int32Array(2));
  queue.send(new Int32Array(2));
  expect(readFd(fd, word)).toBe(8);
  expect(word[0]).toBe(1);
  expect(shared.control[CTL_WORKER_SLEEPING]).toBe(0);
  close(fd);
});
