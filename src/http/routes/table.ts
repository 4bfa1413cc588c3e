/** All routes: who may do what. This is the policy; a test holds every route × role to it. */
import type { Needs } from "../auth/roles.ts";
import { showAbout } from "./about.ts";
import { readAudit } from "./audit.ts";
import { downloadBackup, restoreBackup } from "./backup.ts";
import { listBridges, showBridge } from "./bridges.ts";
import {
  downloadCapture,
  listCaptures,
  removeCapture,
  showCapture,
  startCapture,
  stopCapture,
} from "./captures.ts";
import { flushConntrack, listConntrack, traceFlow, tracePacket } from "./commands.ts";
import { listDevices } from "./devices.ts";
import {
  addFlows,
  changeFlows,
  checkFlow,
  listConnections,
  listCounters,
  listDatapathFlows,
  listFlows,
  listMacs,
  removeFlows,
} from "./flows.ts";
import {
  addGroup,
  addMeter,
  changeGroup,
  changeMeter,
  listGroups,
  listMeters,
  removeGroup,
  removeMeter,
} from "./groups.ts";
import { health, ready } from "./health.ts";
import {
  cancelChanges,
  keepChanges,
  listHistory,
  rollBack,
  showConfirm,
  showDifference,
  showRevision,
  startConfirm,
} from "./history.ts";
import { changeLogLevels, listLogLevels } from "./levels.ts";
import { listLog, streamChanges, streamLog, streamPacketIns } from "./events.ts";
import { showMetrics } from "./metrics.ts";
import { showOpenApi } from "./openapi.ts";
import { changePassword, login, logout, setUp, showSession } from "./session.ts";
import {
  changeBridge,
  changePort,
  createBridge,
  createPort,
  removeBridge,
  removePort,
  showPort,
} from "./ports.ts";
import {
  batch,
  changeRow,
  createRow,
  listRows,
  listTables,
  ofTable,
  removeRow,
  showRow,
} from "./tables.ts";
import { listPortQueues } from "./queues.ts";
import { showStatistics, showStatisticsHistory, streamStatistics } from "./statistics.ts";
import { showStatus } from "./status.ts";
import { createToken, listTokens, removeToken } from "./tokens.ts";
import { changeUser, createUser, listUsers, removeUser, showUser } from "./users.ts";
import { showVocabulary } from "./vocabulary.ts";
import type { Method, Operation, Route } from "./route.ts";

type Line = readonly [Needs, Method, string, Operation];

/** Tables that have a path of their own: `/api/v1/mirrors` is `/api/v1/tables/Mirror`. */
const OWN_PATHS: readonly (readonly [path: string, table: string])[] = [
  ["interfaces", "Interface"],
  ["mirrors", "Mirror"],
  ["controllers", "Controller"],
  ["managers", "Manager"],
  ["qos", "QoS"],
  ["queues", "Queue"],
];

const ownPaths = OWN_PATHS.flatMap(([path, table]): Line[] => [
  ["reader", "GET", `/api/v1/${path}`, ofTable(listRows, table)],
  ["operator", "POST", `/api/v1/${path}`, ofTable(createRow, table)],
  ["reader", "GET", `/api/v1/${path}/:id`, ofTable(showRow, table)],
  ["operator", "PATCH", `/api/v1/${path}/:id`, ofTable(changeRow, table)],
  ["operator", "DELETE", `/api/v1/${path}/:id`, ofTable(removeRow, table)],
]);

const TABLE: readonly Line[] = [
  ["anyone", "GET", "/healthz", health],
  ["anyone", "GET", "/readyz", ready],

  ["anyone", "POST", "/api/v1/setup", setUp],
  ["anyone", "POST", "/api/v1/login", login],
  ["reader", "GET", "/api/v1/session", showSession],
  ["reader", "POST", "/api/v1/logout", logout],
  ["reader", "POST", "/api/v1/password", changePassword],
  ["reader", "GET", "/api/v1/tokens", listTokens],
  ["reader", "POST", "/api/v1/tokens", createToken],
  ["reader", "DELETE", "/api/v1/tokens/:id", removeToken],

  ["admin", "GET", "/api/v1/users", listUsers],
  ["admin", "POST", "/api/v1/users", createUser],
  ["admin", "GET", "/api/v1/users/:name", showUser],
  ["admin", "PATCH", "/api/v1/users/:name", changeUser],
  ["admin", "DELETE", "/api/v1/users/:name", removeUser],
  ["admin", "GET", "/api/v1/audit", readAudit],

  ["reader", "GET", "/api/v1/openapi.json", showOpenApi(() => ROUTES)],
  ["reader", "GET", "/api/v1/status", showStatus],
  ["reader", "GET", "/api/v1/about", showAbout],
  ["reader", "GET", "/api/v1/bridges", listBridges],
  ["operator", "POST", "/api/v1/bridges", createBridge],
  ["reader", "GET", "/api/v1/bridges/:name", showBridge],
  ["operator", "PATCH", "/api/v1/bridges/:name", changeBridge],
  ["operator", "DELETE", "/api/v1/bridges/:name", removeBridge],
  ["operator", "POST", "/api/v1/bridges/:name/ports", createPort],
  ["reader", "GET", "/api/v1/bridges/:name/ports/:port", showPort],
  ["reader", "GET", "/api/v1/bridges/:name/ports/:port/queues", listPortQueues],
  ["operator", "PATCH", "/api/v1/bridges/:name/ports/:port", changePort],
  ["operator", "DELETE", "/api/v1/bridges/:name/ports/:port", removePort],

  ["reader", "GET", "/api/v1/bridges/:name/flows", listFlows],
  ["operator", "POST", "/api/v1/bridges/:name/flows", addFlows],
  ["operator", "PATCH", "/api/v1/bridges/:name/flows", changeFlows],
  ["operator", "DELETE", "/api/v1/bridges/:name/flows", removeFlows],
  ["reader", "POST", "/api/v1/bridges/:name/flows/check", checkFlow],
  ["reader", "GET", "/api/v1/bridges/:name/groups", listGroups],
  ["operator", "POST", "/api/v1/bridges/:name/groups", addGroup],
  ["operator", "PATCH", "/api/v1/bridges/:name/groups", changeGroup],
  ["operator", "DELETE", "/api/v1/bridges/:name/groups", removeGroup],
  ["reader", "GET", "/api/v1/bridges/:name/meters", listMeters],
  ["operator", "POST", "/api/v1/bridges/:name/meters", addMeter],
  ["operator", "PATCH", "/api/v1/bridges/:name/meters", changeMeter],
  ["operator", "DELETE", "/api/v1/bridges/:name/meters", removeMeter],
  ["reader", "GET", "/api/v1/bridges/:name/macs", listMacs],
  ["reader", "GET", "/api/v1/bridges/:name/connections", listConnections],
  ["reader", "GET", "/api/v1/datapath/flows", listDatapathFlows],
  ["reader", "GET", "/api/v1/conntrack", listConntrack],
  ["operator", "DELETE", "/api/v1/conntrack", flushConntrack],
  ["reader", "POST", "/api/v1/trace", traceFlow],
  ["operator", "POST", "/api/v1/trace/packet", tracePacket],
  ["operator", "GET", "/api/v1/captures", listCaptures],
  ["operator", "POST", "/api/v1/captures", startCapture],
  ["operator", "GET", "/api/v1/captures/:id", showCapture],
  ["operator", "DELETE", "/api/v1/captures/:id", removeCapture],
  ["operator", "POST", "/api/v1/captures/:id/stop", stopCapture],
  ["operator", "GET", "/api/v1/captures/:id/pcap", downloadCapture],
  ["reader", "GET", "/api/v1/counters", listCounters],
  ["reader", "GET", "/api/v1/logs", listLog],
  ["reader", "GET", "/api/v1/logs/levels", listLogLevels],
  ["operator", "PATCH", "/api/v1/logs/levels", changeLogLevels],
  ["reader", "GET", "/api/v1/logs/stream", streamLog],
  ["reader", "GET", "/api/v1/events", streamChanges],
  ["operator", "GET", "/api/v1/bridges/:name/packet-ins/stream", streamPacketIns],
  ["reader", "GET", "/api/v1/statistics", showStatistics],
  ["reader", "GET", "/api/v1/statistics/history", showStatisticsHistory],
  ["reader", "GET", "/api/v1/statistics/stream", streamStatistics],
  ["reader", "GET", "/api/v1/devices", listDevices],
  ["reader", "GET", "/api/v1/vocabulary", showVocabulary],
  ["reader", "GET", "/metrics", showMetrics],

  ["reader", "GET", "/api/v1/history", listHistory],
  ["reader", "GET", "/api/v1/history/:revision", showRevision],
  ["reader", "GET", "/api/v1/history/:revision/diff", showDifference],
  ["operator", "POST", "/api/v1/history/:revision/rollback", rollBack],
  ["reader", "GET", "/api/v1/confirm", showConfirm],
  ["operator", "POST", "/api/v1/confirm", startConfirm],
  ["operator", "DELETE", "/api/v1/confirm", cancelChanges],
  ["operator", "POST", "/api/v1/confirm/keep", keepChanges],
  ["operator", "GET", "/api/v1/backup", downloadBackup],
  ["operator", "POST", "/api/v1/restore", restoreBackup],

  ["reader", "GET", "/api/v1/tables", listTables],
  ["reader", "GET", "/api/v1/tables/:table", listRows],
  ["operator", "POST", "/api/v1/tables/:table", createRow],
  ["reader", "GET", "/api/v1/tables/:table/:id", showRow],
  ["operator", "PATCH", "/api/v1/tables/:table/:id", changeRow],
  ["operator", "DELETE", "/api/v1/tables/:table/:id", removeRow],
  ...ownPaths,
  ["operator", "POST", "/api/v1/batch", batch],
];

export const ROUTES: readonly Route[] = TABLE.map(([needs, method, path, operation]) => ({
  needs,
  method,
  path,
  operation,
}));
