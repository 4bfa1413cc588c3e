/** Hosts' IP addresses, from what they say by themselves. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { AddressBook } from "../../../../src/slowpath/bridge/address-book.ts";

const bytes = (hex: string): Uint8Array =>
  Uint8Array.from(Buffer.from(hex.replace(/\s/g, ""), "hex"));
const arp = (mac: string, ip: string, tag = ""): Uint8Array =>
  bytes(`ffffffffffff ${mac} ${tag} 0806 0001 0800 06 04 0001 ${mac} ${ip} 000000000000 0a000002`);
const solicitation = (source: string): Uint8Array =>
  bytes(
    `3333ff000001 020000000001 86dd 60000000 0020 3a ff ${source} ff0200000000000000000001ff000001
     87 00 0000 00000000 20010db8000000000000000000000001`,
  );

test("ARP and neighbour discovery tell who has what", () => {
  const book = new AddressBook();
  book.see(arp("020000000001", "0a000001"));
  expect(book.of("02:00:00:00:00:01")).toEqual(["10.0.0.1"]);
  book.see(solicitation("20010db8000000000000000000000007"));
  expect(book.of("02:00:00:00:00:01")).toEqual(["10.0.0.1", "2001:db8::7"]);
  book.see(arp("020000000002", "0a000009", "8100 0064"));
  expect(book.of("02:00:00:00:00:02")).toEqual(["10.0.0.9"]);
});

test("who asks whether an address is free, or has only a link's own, has none yet", () => {
  const book = new AddressBook();
  book.see(arp("020000000003", "00000000"));
  book.see(solicitation("00000000000000000000000000000000"));
  book.see(solicitation("fe800000000000000000000000000001"));
  expect(book.of("02:00:00:00:00:03")).toEqual([]);
  expect(book.of("02:00:00:00:00:01")).toEqual([]);
});

test("it is bounded: who was heard longest ago goes", () => {
  const book = new AddressBook();
  const mac = (n: number): string => (0x020000000000 + n).toString(16).padStart(12, "0");
  for (let n = 0; n < 4097; n++) book.see(arp(mac(n), "0a000001"));
  expect(book.of("02:00:00:00:00:00")).toEqual([]);
  expect(book.of("02:00:00:00:10:00")).toEqual(["10.0.0.1"]);
});

test("no frame makes it fail", () => {
  const book = new AddressBook();
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (frame) => book.see(frame)));
});
