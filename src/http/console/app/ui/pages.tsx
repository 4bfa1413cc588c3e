/** All pages: their names, where they stand in the navigation, and what draws them. */
import type { ComponentType } from "preact";
import type { Role } from "../core/api.ts";
import { About } from "../pages/about.tsx";
import { Backup } from "../pages/backup.tsx";
import { Bridges } from "../pages/bridges.tsx";
import { Capture } from "../pages/capture.tsx";
import { Conntrack } from "../pages/conntrack.tsx";
import { Controllers } from "../pages/controllers.tsx";
import { Flows } from "../pages/flows.tsx";
import { Groups } from "../pages/groups.tsx";
import { History } from "../pages/history.tsx";
import { Logs } from "../pages/logs.tsx";
import { Overview } from "../pages/overview.tsx";
import { Tables } from "../pages/tables.tsx";
import { Topology } from "../pages/topology.tsx";
import { Trace } from "../pages/trace.tsx";
import { Users } from "../pages/users.tsx";
import type { IconName } from "./icons.tsx";

export interface PageProps {
  /** What follows the page's name in the path. */
  readonly rest: readonly string[];
  readonly query: Readonly<Record<string, string>>;
}

export interface Page {
  readonly name: string;
  readonly title: string;
  readonly icon: IconName;
  readonly group: string;
  readonly draw: ComponentType<PageProps>;
  readonly needs?: Role;
}

const page = (
  group: string,
  name: string,
  title: string,
  icon: IconName,
  draw: ComponentType<PageProps>,
  needs: Role = "reader",
): Page => ({ name, title, icon, group, draw, needs });

export const PAGES: readonly Page[] = [
  page("Now", "overview", "Overview", "overview", Overview),
  page("Now", "topology", "Topology", "topology", Topology),
  page("Switch", "bridges", "Bridges and ports", "bridges", Bridges),
  page("Switch", "flows", "Flows", "flows", Flows),
  page("Switch", "groups", "Groups and meters", "groups", Groups),
  page("Switch", "controllers", "Controllers", "controllers", Controllers),
  page("Switch", "tables", "All tables", "tables", Tables),
  page("Look inside", "trace", "Trace", "trace", Trace),
  page("Look inside", "capture", "Capture", "capture", Capture, "operator"),
  page("Look inside", "conntrack", "Connections", "conntrack", Conntrack),
  page("Administration", "history", "History", "history", History),
  page("Administration", "backup", "Backup and restore", "backup", Backup),
  page("Administration", "logs", "Logs", "logs", Logs),
  page("Administration", "users", "Users and tokens", "users", Users),
  page("Administration", "about", "About", "about", About),
];
