import { expect, test } from "bun:test";
import {
  address,
  close,
  ERRNO,
  errnoName,
  eventfd,
  ifIndexExists,
  ifNameToIndex,
  memoryAt,
  open,
  readFd,
  readMonotonicMs,
  setsockopt,
  SystemError,
  write,
} from "../../../src/linux/libc.ts";

function thrown(body: () => unknown): unknown {
  try {
    body();
  } catch (error) {
    return error;
  }
  return undefined;
}

test("a failed call names itself, its errno and what it was applied to", () => {
  const error = thrown(() => open("/no/such/file", 0));
  expect(error).toBeInstanceOf(SystemError);
  expect(error).toMatchObject({ code: "ENOENT", errno: ERRNO.ENOENT, call: "open" });
  expect(String(error)).toBe("SystemError: open: ENOENT (/no/such/file)");
  expect(thrown(() => setsockopt(-1, 1, 1, 1, "SO_DEBUG"))).toMatchObject({
    call: "setsockopt(SO_DEBUG)",
    code: "EBADF",
  });
  expect(errnoName(9999)).toBe("errno 9999");
});

test("a path with a NUL is refused, not cut", () => {
  expect(() => open("/etc\0/passwd", 0)).toThrow(TypeError);
});

test("an event counter: empty, written, read", () => {
  const fd = eventfd();
  const word = new Uint8Array(8);
  expect(readFd(fd, word)).toBe(-1);
  expect(write(fd, new Uint8Array(new BigUint64Array([3n]).buffer))).toBe(8);
  expect(readFd(fd, word)).toBe(8);
  expect(word[0]).toBe(3);
  close(fd);
});

test("memory by address is the memory itself", () => {
  const bytes = new Uint8Array(64).fill(7);
  new Uint8Array(memoryAt(address(bytes), 64))[5] = 9;
  expect(bytes[5]).toBe(9);
});

test("the monotonic clock goes on; the loopback interface is there", () => {
  const scratch = new BigInt64Array(2);
  const first = readMonotonicMs(scratch);
  expect(readMonotonicMs(scratch)).toBeGreaterThanOrEqual(first);
  expect(ifNameToIndex("lo")).toBe(1);
  expect(ifNameToIndex("no-such-if")).toBe(0);
  expect([ifIndexExists(1), ifIndexExists(2_000_000_000)]).toEqual([true, false]);
});
