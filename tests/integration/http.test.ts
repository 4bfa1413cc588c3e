/** The HTTP side of a running daemon: set-up, health, status, bridges, the first page. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { eventually } from "../support/eventually.ts";
import { addHost } from "../support/hosts.ts";
import { ADMIN, HttpApi, type RequestOptions } from "../support/http-api.ts";
import { type HttpAnswer, httpFetch } from "../support/http.ts";
import { Sandbox } from "../support/netns.ts";
import { describePrivileged } from "../support/privileged.ts";
import { SolovsSwitch, SWITCH_TOOLS } from "../support/switch.ts";

describePrivileged("HTTP", SWITCH_TOOLS, () => {
  let sandbox: Sandbox;
  let sw: SolovsSwitch;
  let api: HttpApi;
  beforeAll(async () => {
    sandbox = await Sandbox.create();
    sw = await SolovsSwitch.start(sandbox, await sandbox.netns("sw"));
    await sw.addBridge("br0");
    await addHost(sandbox, sw.ns, 1);
    await sw.clients.vsctl("add-port br0 p1 tag=7 -- add-port br0 gone0");
    api = await HttpApi.setUp(sw.ns, () => sw.log());
  }, 30_000);
  afterAll(async () => {
    await sw?.stop();
    await sandbox?.dispose();
  }, 30_000);

  const get = (path: string, options: RequestOptions = {}): Promise<HttpAnswer> =>
    api.request("GET", path, options);
  const anonymous = (path: string, init = {}): Promise<HttpAnswer> =>
    httpFetch(sw.ns, `http://127.0.0.1:8080${path}`, init);

  test("/healthz and /readyz need no login, the rest does", async () => {
    expect((await anonymous("/healthz")).status).toBe(200);
    expect((await anonymous("/readyz")).status).toBe(200);
    expect((await anonymous("/api/v1/bridges")).status).toBe(401);
    expect((await anonymous("/")).status).toBe(200);
  }, 20_000);

  test("/api/v1/status counts what there is", async () => {
    const answer = await get("/api/v1/status");
    expect(answer.status).toBe(200);
    expect(answer.headers["content-type"]).toContain("application/json");
    expect(JSON.parse(answer.body)).toMatchObject({
      bridges: 1,
      configuration: { inForce: true },
    });
  }, 20_000);

  test("/api/v1/bridges: ports with their tags, numbers and errors", async () => {
    const { bridges } = JSON.parse((await get("/api/v1/bridges")).body);
    expect(bridges).toHaveLength(1);
    const port = (name: string) =>
      bridges[0].ports.find((each: { name: string }) => each.name === name);
    expect(bridges[0]).toMatchObject({ name: "br0", flows: 1, failMode: "standalone" });
    expect(port("p1")).toMatchObject({ tag: 7, interfaces: [{ ofport: 1, error: null }] });
    expect(port("gone0").interfaces[0].ofport).toBe(-1);
    expect(port("gone0").interfaces[0].error).toContain("No such device");
  }, 20_000);

  test("it follows the switch", async () => {
    await sw.clients.ofctl("add-flow", "br0", "in_port=1,actions=drop");
    await eventually("two flows", async () => {
      const bridge = JSON.parse((await get("/api/v1/bridges/br0")).body);
      return bridge.flows === 2;
    });
  }, 20_000);

  test("the first page", async () => {
    const answer = await get("/");
    expect(answer.status).toBe(200);
    expect(answer.headers["content-type"]).toContain("text/html");
    expect(answer.body).toContain("solovs");
  }, 20_000);

  test("a bridge and ports made over the API work, and tell how they fare", async () => {
    const make = (path: string, body: unknown) => api.request("POST", `/api/v1${path}`, { body });
    expect((await make("/bridges", { name: "br1" })).status).toBe(201);
    const good = await make("/bridges/br1/ports", { name: "in1", type: "internal", tag: 3 });
    expect(JSON.parse(good.body).outcome).toMatchObject({ inForce: true, errors: [] });
    expect(await sw.clients.vsctl("get Port in1 tag")).toBe("3");
    const bad = await make("/bridges/br1/ports", { name: "gone1" });
    const { errors } = JSON.parse(bad.body).outcome;
    expect(errors).toMatchObject([{ interface: "gone1" }]);
    expect(errors[0].error).toContain("No such device");
    const undone = await make("/bridges/br1/ports?atomic=true", { name: "gone2" });
    expect(undone.status).toBe(422);
    expect(await sw.clients.vsctl("list-ports br1")).toBe("gone1\nin1");
    expect((await api.request("DELETE", "/api/v1/bridges/br1")).status).toBe(200);
    expect(await sw.clients.vsctl("list-br")).toBe("br0");
  }, 20_000);

  test("flows: what curl adds, ovs-ofctl shows; the text is the same", async () => {
    const path = "/api/v1/bridges/br0/flows";
    const body = "priority=100,tcp,in_port=1,tp_dst=80,actions=output:2,controller:64";
    expect((await api.request("POST", path, { body })).status).toBe(201);
    const lines = (text: string): string[] =>
      text.split("\n").map((line) => line.trim().replace(/duration=[\d.]+s|idle_age=\d+/g, ""))
        .filter(Boolean);
    const { body: text } = await get(path, { headers: { accept: "text/plain" } });
    expect(lines(text).sort()).toEqual(lines(await sw.clients.ofctl("dump-flows", "br0")).sort());
    expect((await api.request("DELETE", `${path}?filter=tcp`)).status).toBe(200);
    expect(await sw.clients.ofctl("dump-flows", "br0")).not.toContain("tcp");
  }, 20_000);

  test("texts are those of the tools", async () => {
    await sw.clients.ofctl(
      "-OOpenFlow13",
      "add-meter",
      "br0",
      "meter=1,kbps,band=type=drop,rate=9",
    );
    await sw.clients.ofctl(
      "-OOpenFlow13",
      "add-group",
      "br0",
      "group_id=1,type=all,bucket=output:1",
    );
    await sw.clients.vsctl(
      "set port p1 qos=@q -- --id=@q create qos type=linux-htb queues:7=@a " +
        "-- --id=@a create queue other-config:max-rate=5000000",
    );
    const { vsctl, ofctl, appctl } = sw.clients;
    const of13 = (command: string) => ofctl.call(sw.clients, "-OOpenFlow13", command, "br0");
    const ask = (...words: string[]) => appctl.call(sw.clients, ...words);
    const texts: readonly (readonly [path: string, tool: () => Promise<string>])[] = [
      ["/bridges", () => vsctl.call(sw.clients, "show")],
      ["/bridges/br0/groups", () => ofctl.call(sw.clients, "dump-groups", "br0")],
      ["/bridges/br0/meters", () => of13("dump-meters")],
      ["/bridges/br0/macs", () => ask("fdb/show", "br0")],
      ["/datapath/flows", () => ask("dpctl/dump-flows")],
      ["/datapath/flows?bridge=br0", () => ask("dpif/dump-flows", "br0")],
      ["/conntrack", () => ask("dpctl/dump-conntrack")],
      ["/logs/levels", () => ask("vlog/list")],
      ["/bridges/br0/ports/p1/queues", () => ask("qos/show", "p1")],
    ];
    for (const [path, tool] of texts) {
      // What is counted may go on between the two.
      await eventually(path, async () => {
        const { status, body } = await get(`/api/v1${path}`, { headers: { accept: "text/plain" } });
        return status === 200 && body.trim() === (await tool()).trim();
      });
    }
  }, 60_000);

  test("what is not there is 404, what cannot be done is 405", async () => {
    expect((await get("/nosuch")).status).toBe(404);
    expect((await get("/api/v1/bridges/nosuch")).status).toBe(404);
    const refused = await api.request("POST", "/api/v1/status", { body: {} });
    expect(refused.status).toBe(405);
    expect(refused.headers.allow).toContain("GET");
    expect(await sw.clients.vsctl("list-br")).toBe("br0");
  }, 20_000);

  test("a foreign host name is refused", async () => {
    const answer = await get("/api/v1/status", { headers: { host: "evil.example" } });
    expect(answer.status).toBe(421);
  }, 20_000);

  test("users are kept over a restart, in a file that only its owner reads", async () => {
    await sw.stop();
    await sw.restart();
    const isUp = () => anonymous("/readyz").then(({ status }) => status === 200, () => false);
    await eventually("it answers again", isUp);
    expect((await get("/api/v1/session")).status).toBe(200);
    const body = JSON.stringify(ADMIN);
    expect((await anonymous("/api/v1/login", { method: "POST", body })).status).toBe(200);
    expect(sw.log().match(/#setup=/g)).toHaveLength(1);
    const db = `${sw.runDir}/conf.sqlite`;
    expect(statSync(db).mode & 0o077).toBe(0);
  }, 20_000);
});
