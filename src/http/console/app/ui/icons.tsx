/** Drawings of 24 × 24, as strokes of the text's colour. */

const PATHS = {
  overview: "M4 13h6V4H4zM14 20h6v-9h-6zM4 20h6v-3H4zM14 7h6V4h-6z",
  topology:
    "M12 8V5M12 5a2 2 0 1 0 0-.01M6 19v-4h12v4M12 8v7M6 19a2 2 0 1 0 .01 0M18 19a2 2 0 1 0 .01 0",
  bridges: "M3 7h18v10H3zM7 11v2M11 11v2M15 11v2M17.500 11v2",
  flows: "M4 6h10M4 12h16M4 18h7M17 3l3 3-3 3M14 15l3 3-3 3",
  groups: "M4 12h5M9 12l6-6M9 12h6M9 12l6 6M15 4h5v4h-5zM15 10h5v4h-5zM15 16h5v4h-5z",
  tables: "M4 5h16v14H4zM4 10h16M10 10v9",
  trace: "M5 4v6a4 4 0 0 0 4 4h6a4 4 0 0 1 4 4v2M16 17l3 3 3-3M5 4l-2 2M5 4l2 2",
  capture: "M12 12m-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0M12 12m-8 0a8 8 0 1 0 16 0a8 8 0 1 0-16 0",
  controllers: "M8 21h8M12 17v4M4 4h16v13H4zM8 9l3 2.500-3 2.500M13 14h3",
  conntrack:
    "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
  history: "M3 12a9 9 0 1 0 3-6.700L3 8M3 3v5h5M12 7v5l3 2",
  backup: "M12 3v12M8 11l4 4 4-4M4 17v3h16v-3",
  logs: "M5 4h14v16H5zM9 8h6M9 12h6M9 16h4",
  users:
    "M9 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8M2 21a7 7 0 0 1 14 0M16 3.500a4 4 0 0 1 0 7M19 14.500a7 7 0 0 1 3 6.500",
  about: "M12 3a9 9 0 1 0 .01 0M12 11v5M12 7.500v.01",
  add: "M12 5v14M5 12h14",
  edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  remove: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  close: "M6 6l12 12M18 6L6 18",
  menu: "M4 6h16M4 12h16M4 18h16",
  search: "M11 4a7 7 0 1 0 .01 0M16 16l5 5",
  warning: "M12 4l9 16H3zM12 10v4M12 17v.01",
  good: "M5 12l5 5 9-10",
  next: "M9 5l7 7-7 7",
  sun:
    "M12 8a4 4 0 1 0 .01 0M12 2v2M12 20v2M4 12H2M22 12h-2M5 5l1.500 1.500M17.500 17.500L19 19M5 19l1.500-1.500M17.500 6.500L19 5",
  person: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8M4 21a8 8 0 0 1 16 0",
  language:
    "M3 6h9M7.500 4v2M10 6c0 4-3 7-6.500 8M5 9c1 2.500 3 4 5.500 5M12 20l4.500-10L21 20M13.500 17h6",
  play: "M7 4l13 8-13 8z",
  stop: "M6 6h12v12H6z",
  device: "M5 5h14v10H5zM9 15v4M15 15v4M12 15v4M9 9h6",
  refresh: "M20 11a8 8 0 0 0-14.500-4L3 9M3 4v5h5M4 13a8 8 0 0 0 14.500 4l2.500-2M21 20v-5h-5",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  download: "M12 4v11M8 11l4 4 4-4M4 19h16",
  upload: "M12 15V4M8 8l4-4 4 4M4 19h16",
  undo: "M4 9h10a6 6 0 0 1 0 12h-3M4 9l4-4M4 9l4 4",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      stroke-width="1.8"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Logo() {
  return (
    <svg viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" fill="var(--accent)" />
      <path
        d="M6 12h15l-4-4m9 12H11l4 4"
        fill="none"
        stroke="var(--accent-text)"
        stroke-width="3"
        stroke-linecap="round"
        stroke-linejoin="round"
      />
    </svg>
  );
}
