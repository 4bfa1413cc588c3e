/** Where in the console we are: `#/flows/br0?q=tcp`. */
import { Store } from "./store.ts";

export interface Place {
  /** `["flows", "br0"]`; never empty. */
  readonly path: readonly [string, ...string[]];
  readonly query: Readonly<Record<string, string>>;
}

export function parsePlace(hash: string): Place {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [first = "overview", ...rest] = path.split("/").filter((word) => word !== "")
    .map((word) => {
      try {
        return decodeURIComponent(word);
      } catch {
        return word;
      }
    });
  return { path: [first, ...rest], query: Object.fromEntries(new URLSearchParams(query)) };
}

export function placeText(path: readonly string[], query: Place["query"] = {}): string {
  const words = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ""));
  const search = words.toString();
  return `#/${path.map(encodeURIComponent).join("/")}${search === "" ? "" : `?${search}`}`;
}

export class Router {
  readonly place: Store<Place>;

  constructor() {
    this.place = new Store(parsePlace(location.hash));
    addEventListener("hashchange", () => {
      this.place.set(parsePlace(location.hash));
      document.querySelector("main")?.scrollTo(0, 0);
    });
  }

  go(path: readonly string[], query: Place["query"] = {}): void {
    location.hash = placeText(path, query);
  }

  /** The same page with another query, without a step in the browser's history. */
  replaceQuery(query: Place["query"]): void {
    const { path } = this.place.value;
    history.replaceState(null, "", placeText(path, query));
    this.place.set({ path, query });
  }
}
