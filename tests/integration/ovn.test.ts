/**
 * Debian's OVN drives the switch: `ovn-controller` speaks OpenFlow 1.5 and OVSDB with it and starts
 * over at the first OpenFlow error, so a ping between two logical ports says that all was understood.
 * The stages are those in which OVN needs more and more of a switch.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { eventually } from "../support/eventually.ts";
import { iperf, ping, reaches } from "../support/hosts.ts";
import { Sandbox } from "../support/netns.ts";
import { addWorkload, Chassis, OVN_TOOLS, OvnCentral, type Workload } from "../support/ovn.ts";
import { describePrivileged } from "../support/privileged.ts";
import { type RunningSwitch, startSwitch, SWITCH_TOOLS } from "../support/switch.ts";

const TOOLS = [...SWITCH_TOOLS, ...OVN_TOOLS];

/** Arguments: address, port. Says `hello from PORT` to whoever connects. */
const ECHO_SERVER = `
import socket, sys
listening = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    peer, _ = listening.accept()
    peer.sendall(b"hello from " + sys.argv[2].encode())
    peer.close()
`;

/** Arguments: address, port. Tries for ten seconds; prints what the server said. */
const ECHO_CLIENT = `
import socket, sys, time
for _ in range(50):
    try:
        print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).recv(100).decode())
        sys.exit(0)
    except OSError:
        time.sleep(0.2)
sys.exit(1)
`;

describePrivileged("OVN on one chassis", TOOLS, () => {
  let sandbox: Sandbox;
  let sw: RunningSwitch;
  let central: OvnCentral;
  let chassis: Chassis;
  let a: Workload;
  let b: Workload;
  let c: Workload;

  beforeAll(async () => {
    sandbox = await Sandbox.create();
    central = await OvnCentral.start(sandbox);
    sw = await startSwitch(sandbox, await sandbox.netns("sw"));
    chassis = await Chassis.start(sandbox, central, sw, "chassis1");
    await central.nbctl([
      ..."ls-add ls0 -- lsp-add ls0 a -- lsp-add ls0 b".split(" "),
      ..."-- lsp-set-addresses a".split(" "),
      "02:00:00:00:0a:01 10.1.0.1",
      ..."-- lsp-set-addresses b".split(" "),
      "02:00:00:00:0a:02 10.1.0.2",
      ..."-- ls-add ls1 -- lsp-add ls1 c -- lsp-set-addresses c".split(" "),
      "02:00:00:00:0a:03 10.2.0.1",
    ]);
    a = await addWorkload(sandbox, chassis, "a", "02:00:00:00:0a:01", "10.1.0.1/24", "10.1.0.254");
    b = await addWorkload(sandbox, chassis, "b", "02:00:00:00:0a:02", "10.1.0.2/24", "10.1.0.254");
    c = await addWorkload(sandbox, chassis, "c", "02:00:00:00:0a:03", "10.2.0.1/24", "10.2.0.254");
    await central.sync();
  }, 60_000);
  afterAll(async () => {
    await sandbox?.dispose();
    await sw?.stop().catch(() => sw.killNow());
  }, 30_000);

  test("two ports of a logical switch ping", async () => {
    expect(await reaches(a.ns, b.ip, 10_000)).toBe(true);
    expect((await ping(b.ns, a.ip, { count: 5 })).received).toBe(5);
    expect(chassis.openFlowErrors()).toEqual([]);
  }, 30_000);

  test("routing: the logical router answers, and passes between two logical switches", async () => {
    await central.nbctl(
      "lr-add lr0 -- lrp-add lr0 lr0-ls0 02:00:00:00:ff:01 10.1.0.254/24 " +
        "-- lrp-add lr0 lr0-ls1 02:00:00:00:ff:02 10.2.0.254/24 " +
        "-- lsp-add ls0 ls0-lr0 -- lsp-set-type ls0-lr0 router " +
        "-- lsp-set-addresses ls0-lr0 router -- lsp-set-options ls0-lr0 router-port=lr0-ls0 " +
        "-- lsp-add ls1 ls1-lr0 -- lsp-set-type ls1-lr0 router " +
        "-- lsp-set-addresses ls1-lr0 router -- lsp-set-options ls1-lr0 router-port=lr0-ls1",
    );
    await central.sync();
    expect(await reaches(a.ns, "10.1.0.254", 10_000)).toBe(true);
    expect(await reaches(a.ns, c.ip, 10_000)).toBe(true);
    const ttl = (await ping(a.ns, c.ip, { count: 1 })).text;
    expect(ttl).toContain("ttl=63");
    expect(chassis.openFlowErrors()).toEqual([]);
  }, 40_000);

  test("ACLs: a stateful rule lets answers back and nothing else in", async () => {
    await central.nbctl([
      ..."acl-add ls0 to-lport 1000".split(" "),
      'outport == "b" && ip4',
      "drop",
      ..."-- acl-add ls0 from-lport 1000".split(" "),
      'inport == "b" && ip4',
      "allow-related",
    ]);
    await central.sync();
    expect(await reaches(b.ns, a.ip, 10_000)).toBe(true);
    expect((await ping(a.ns, b.ip, { count: 2, waitSec: 0.5 })).received).toBe(0);
    await central.nbctl("acl-del ls0");
    await central.sync();
    expect(await reaches(a.ns, b.ip, 10_000)).toBe(true);
    expect(chassis.openFlowErrors()).toEqual([]);
  }, 40_000);

  test("what an ACL drops is told of, by packet-ins that a meter bounds", async () => {
    await central.nbctl([
      ..."meter-add few drop 5 pktps 5 -- --log --name=told --severity=warning".split(" "),
      ..."--meter=few acl-add ls0 to-lport 1000".split(" "),
      'outport == "b" && udp',
      "drop",
    ]);
    await central.sync();
    // Resolves the address, so that each datagram leaves.
    expect(await reaches(a.ns, b.ip, 10_000)).toBe(true);
    const send = `for i in $(seq 200); do echo x > /dev/udp/${b.ip}/9; done`;
    await a.ns.must(["bash", "-c", send]);
    const told = (): number => chassis.log().split('name="told"').length - 1;
    await eventually("the log tells of it", () => told() > 0, { timeoutMs: 20_000 });
    expect(told()).toBeLessThan(200);
    await central.nbctl("acl-del ls0");
    expect(chassis.openFlowErrors()).toEqual([]);
  }, 40_000);

  test("port security: a port speaks with its own addresses only", async () => {
    await central.nbctl(["lsp-set-port-security", "a", "02:00:00:00:0a:01 10.1.0.1"]);
    await a.ns.ip("addr add 10.1.0.99/24 dev eth0");
    await central.sync();
    expect(await reaches(a.ns, b.ip, 10_000)).toBe(true);
    const forged = ["ping", "-n", "-c", "2", "-i", "0.2", "-W", "0.5", "-I", "10.1.0.99", b.ip];
    expect((await a.ns.run(forged)).code).not.toBe(0);
    await a.ns.ip("addr del 10.1.0.99/24 dev eth0");
    await central.nbctl(["lsp-set-port-security", "a"]);
    expect(chassis.openFlowErrors()).toEqual([]);
  }, 40_000);

  test(
    "IPv6: the router's advertisements give a host its address, and lead to another",
    async () => {
      await central.nbctl([
        ..."-- set logical_router_port lr0-ls0".split(" "),
        'networks="10.1.0.254/24","fd01::1/64"',
        "ipv6_ra_configs:address_mode=slaac",
        "ipv6_ra_configs:send_periodic=false",
        ..."-- lsp-set-addresses a".split(" "),
        "02:00:00:00:0a:01 10.1.0.1 fd01::ff:fe00:a01",
      ]);
      await central.sync();
      // With IPv6 on again, it asks for a router.
      await a.ns.must(["sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=0"]);
      await eventually("an address of the router's prefix", async () => {
        const addresses = await a.ns.must(["ip", "-6", "addr", "show", "dev", "eth0"]);
        return /inet6 fd01::ff:fe00:a01\/64 scope global (?!tentative)/.test(addresses);
      }, { timeoutMs: 30_000 });
      expect(await reaches(a.ns, "fd01::1", 10_000)).toBe(true);
      await a.ns.ip("route replace default via 10.1.0.254");
      expect(chassis.openFlowErrors()).toEqual([]);
    },
    60_000,
  );

  test("load balancer: a virtual address leads to a member", async () => {
    await central.nbctl("lb-add lb0 10.9.9.9:80 10.2.0.1:8080 tcp -- ls-lb-add ls0 lb0");
    await central.sync();
    const server = c.ns.spawn(["python3", "-c", ECHO_SERVER, c.ip, "8080"]);
    sandbox.defer(() => server.killNow());
    const answer = await a.ns.run(["python3", "-c", ECHO_CLIENT, "10.9.9.9", "80"], {
      timeoutMs: 30_000,
    });
    expect(answer.stdout).toBe("hello from 8080\n");
    expect(chassis.openFlowErrors()).toEqual([]);
  }, 60_000);

  test("DHCP: a lease is offered by packet-in and resume", async () => {
    await central.nbctl([
      ..."lsp-add ls0 d -- lsp-set-addresses d".split(" "),
      "02:00:00:00:0a:04 10.1.0.44",
    ]);
    const uuid = (await central.nbctl([
      ..."create dhcp_options cidr=10.1.0.0/24".split(" "),
      'options="server_id"="10.1.0.254" "server_mac"="02:00:00:00:ff:01" "lease_time"="3600" ' +
      '"router"="10.1.0.254"',
    ])).trim();
    await central.nbctl(`lsp-set-dhcpv4-options d ${uuid}`);
    const d = await addWorkload(sandbox, chassis, "d", "02:00:00:00:0a:04", undefined);
    await central.sync();
    const probe = `${import.meta.dir}/../support/dhcp_probe.py`;
    const answer = await d.ns.run(["python3", probe], { timeoutMs: 30_000 });
    expect(answer.stdout).toBe("offer 10.1.0.44 router 10.1.0.254 server 10.1.0.254\n");
    expect(chassis.openFlowErrors()).toEqual([]);
  }, 60_000);

  test(
    "NAT: many inside behind one address, and one inside that is reached from outside",
    async () => {
      await central.nbctl([
        ..."set logical_router lr0 options:chassis=chassis1".split(" "),
        ..."-- ls-add public -- lsp-add public ext -- lsp-set-addresses ext".split(" "),
        "02:00:00:00:0a:05 192.168.5.10",
        ..."-- lrp-add lr0 lr0-public 02:00:00:00:ff:03 192.168.5.1/24".split(" "),
        ..."-- lsp-add public public-lr0 -- lsp-set-type public-lr0 router".split(" "),
        ..."-- lsp-set-addresses public-lr0 router".split(" "),
        ..."-- lsp-set-options public-lr0 router-port=lr0-public".split(" "),
        ..."-- lr-nat-add lr0 snat 192.168.5.1 10.1.0.0/24".split(" "),
        ..."-- lr-nat-add lr0 dnat_and_snat 192.168.5.3 10.1.0.2".split(" "),
      ]);
      // It knows no way to 10.1.0.0/24: only what was translated comes back.
      const ext = await addWorkload(
        sandbox,
        chassis,
        "ext",
        "02:00:00:00:0a:05",
        "192.168.5.10/24",
      );
      await central.sync();
      expect(await reaches(a.ns, ext.ip, 10_000)).toBe(true);
      expect(await reaches(ext.ns, "192.168.5.3", 10_000)).toBe(true);
      expect(chassis.openFlowErrors()).toEqual([]);
    },
    60_000,
  );
});

describePrivileged("OVN on two chassis, Geneve between them", TOOLS, () => {
  let sandbox: Sandbox;
  let central: OvnCentral;
  const switches: RunningSwitch[] = [];
  const chassis: Chassis[] = [];
  const workloads: Workload[] = [];

  /** A switch with an uplink in a bridge, whose own port has the address that tunnels end at. */
  const addChassis = async (n: number): Promise<void> => {
    const ns = await sandbox.netns(`sw${n}`);
    const sw = await startSwitch(sandbox, ns);
    switches.push(sw);
    if (n === 1) await sandbox.veth({ ns, name: "uplink" }, { ns, name: "other" });
    else {
      await switches[0]!.ns.must(["ip", "link", "set", "other", "netns", ns.name]);
      await ns.ip("link set other name uplink");
      await ns.ip("link set uplink up");
    }
    await sw.addBridge("br-phy");
    await sw.clients.vsctl("add-port br-phy uplink");
    await ns.ip(`addr add 172.16.0.${n}/24 dev br-phy`);
    await ns.ip("link set br-phy up");
    chassis.push(await Chassis.start(sandbox, central, sw, `chassis${n}`, `172.16.0.${n}`));
  };

  beforeAll(async () => {
    sandbox = await Sandbox.create();
    central = await OvnCentral.start(sandbox);
    await addChassis(1);
    await addChassis(2);
    await central.nbctl([
      ..."ls-add ls0 -- lsp-add ls0 a -- lsp-set-addresses a".split(" "),
      "02:00:00:00:0b:01 10.3.0.1",
      ..."-- lsp-add ls0 b -- lsp-set-addresses b".split(" "),
      "02:00:00:00:0b:02 10.3.0.2",
    ]);
    workloads.push(
      await addWorkload(sandbox, chassis[0]!, "a", "02:00:00:00:0b:01", "10.3.0.1/24"),
      await addWorkload(sandbox, chassis[1]!, "b", "02:00:00:00:0b:02", "10.3.0.2/24"),
    );
    // As OVN's documentation says: the tunnel takes 58 bytes.
    for (const { ns } of workloads) await ns.ip("link set eth0 mtu 1442");
    await central.sync();
  }, 60_000);
  afterAll(async () => {
    await sandbox?.dispose();
    for (const sw of switches) await sw.stop().catch(() => sw.killNow());
  }, 30_000);

  test("ping", async () => {
    const [a, b] = workloads as [Workload, Workload];
    expect(await reaches(a.ns, b.ip, 20_000)).toBe(true);
    expect((await ping(b.ns, a.ip, { count: 3, sizeBytes: 1400 })).received).toBe(3);
    for (const each of chassis) expect(each.openFlowErrors()).toEqual([]);
  }, 40_000);

  test("TCP", async () => {
    const [a, b] = workloads as [Workload, Workload];
    const { gbitPerSec } = await iperf({ ns: b.ns, ip: b.ip }, a.ns);
    expect(gbitPerSec).toBeGreaterThan(0.01);
  }, 40_000);

  test("gateways: BFD in the tunnels says which chassis are there, and who serves", async () => {
    await central.nbctl([
      ..."lr-add lr0 -- lrp-add lr0 lr0-ls0 02:00:00:00:ff:01 10.3.0.254/24".split(" "),
      ..."-- lsp-add ls0 ls0-lr0 -- lsp-set-type ls0-lr0 router".split(" "),
      ..."-- lsp-set-addresses ls0-lr0 router".split(" "),
      ..."-- lsp-set-options ls0-lr0 router-port=lr0-ls0".split(" "),
      ..."-- ls-add public -- lrp-add lr0 lr0-public 02:00:00:00:ff:03 172.20.0.1/24".split(" "),
      ..."-- lsp-add public public-lr0 -- lsp-set-type public-lr0 router".split(" "),
      ..."-- lsp-set-addresses public-lr0 router".split(" "),
      ..."-- lsp-set-options public-lr0 router-port=lr0-public".split(" "),
      ..."-- lrp-set-gateway-chassis lr0-public chassis1 20".split(" "),
      ..."-- lrp-set-gateway-chassis lr0-public chassis2 10".split(" "),
      ..."-- set nb_global . options:bfd-min-tx=200 options:bfd-min-rx=200".split(" "),
    ]);
    await central.sync();
    const state = async ({ clients }: RunningSwitch): Promise<string> => {
      const tunnel = (await clients.vsctl(
        "--bare --columns=name find Interface type=geneve",
      )).trim();
      return (await clients.vsctl(`--if-exists get Interface ${tunnel} bfd_status:state`)).trim();
    };
    const serves = async (): Promise<string> => {
      const port = "find port_binding logical_port=cr-lr0-public";
      const uuid = (await central.sbctl(`--bare --columns=chassis ${port}`)).trim();
      return uuid === "" ? "" : (await central.sbctl(`get chassis ${uuid} name`)).trim();
    };
    await eventually(
      "both see each other",
      async () => (await Promise.all(switches.map(state))).every((each) => each === "up"),
      {
        timeoutMs: 30_000,
      },
    );
    await eventually("the first serves", async () => await serves() === "chassis1", {
      timeoutMs: 20_000,
    });
    // Whoever sees nobody claims nothing: a third chassis would have to tell which of the two is gone.
    await switches[0]!.ns.ip("link set uplink down");
    await eventually(
      "they miss each other",
      async () => (await Promise.all(switches.map(state))).every((each) => each !== "up"),
      {
        timeoutMs: 30_000,
      },
    );
    await switches[0]!.ns.ip("link set uplink up");
    await eventually(
      "they are back",
      async () => (await Promise.all(switches.map(state))).every((each) => each === "up"),
      {
        timeoutMs: 30_000,
      },
    );
    expect(chassis[1]!.openFlowErrors()).toEqual([]);
  }, 120_000);
});
