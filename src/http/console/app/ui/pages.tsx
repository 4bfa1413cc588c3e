/** All pages: their names, where they stand in the navigation, and what draws them. */
import type { ComponentType } from "preact";
import type { Role } from "../core/api.ts";
import { Bridges } from "../pages/bridges.tsx";
import { Flows } from "../pages/flows.tsx";
import { Overview } from "../pages/overview.tsx";
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

export const PAGES: readonly Page[] = [
  { name: "overview", title: "Overview", icon: "overview", group: "Now", draw: Overview },
  { name: "bridges", title: "Bridges and ports", icon: "bridges", group: "Switch", draw: Bridges },
  { name: "flows", title: "Flows", icon: "flows", group: "Switch", draw: Flows },
];
