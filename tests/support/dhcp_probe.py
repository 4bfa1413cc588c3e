"""Sends DHCPDISCOVER from eth0 until a DHCPOFFER comes; prints the offered address, router, server."""
import socket, struct, sys, time

ETH_P_IP = 0x0800
raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP))
raw.bind(("eth0", ETH_P_IP))
raw.settimeout(0.3)
mac = raw.getsockname()[4]
xid = 0x50105005


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def discover():
    bootp = struct.pack("!BBBBIHH16s16s192s", 1, 1, 6, 0, xid, 0, 0, b"", mac, b"")
    bootp += b"\x63\x82\x53\x63" + b"\x35\x01\x01" + b"\x37\x03\x01\x03\x33" + b"\xff"
    udp = struct.pack("!HHHH", 68, 67, 8 + len(bootp), 0) + bootp
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, b"\0" * 4, b"\xff" * 4)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return b"\xff" * 6 + mac + struct.pack("!H", ETH_P_IP) + head + udp


def options(data):
    found = {}
    while data and data[0] != 255:
        if data[0] == 0:
            data = data[1:]
            continue
        found[data[0]] = data[2:2 + data[1]]
        data = data[2 + data[1]:]
    return found


for _ in range(60):
    raw.send(discover())
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        try:
            frame = raw.recv(2048)
        except TimeoutError:
            break
        bootp = frame[42:]
        if frame[23:24] != b"\x11" or bootp[:1] != b"\x02" or bootp[4:8] != struct.pack("!I", xid):
            continue
        given = options(bootp[240:])
        if given.get(53) == b"\x02":
            router, server = (socket.inet_ntoa(given[option][:4]) for option in (3, 54))
            print("offer", socket.inet_ntoa(bootp[16:20]), "router", router, "server", server)
            sys.exit(0)
print("no offer")
sys.exit(1)
