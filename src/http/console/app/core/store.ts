/** A value that parts of the page watch. */
import { useEffect, useState } from "preact/hooks";

export class Store<T> {
  private readonly listeners = new Set<(value: T) => void>();

  constructor(private current: T) {}

  get value(): T {
    return this.current;
  }

  set(value: T): void {
    if (Object.is(value, this.current)) return;
    this.current = value;
    for (const listener of [...this.listeners]) listener(value);
  }

  subscribe(listener: (value: T) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }
}

/** The store's value; the component is drawn again when it changes. */
export function useStore<T>(store: Store<T>): T {
  const [, redraw] = useState(0);
  const [seen] = useState({ value: store.value });
  seen.value = store.value;
  useEffect(() => {
    const check = (): void => redraw((count) => count + 1);
    // It may have changed between drawing and watching.
    if (!Object.is(seen.value, store.value)) check();
    return store.subscribe(check);
  }, [store]);
  return store.value;
}
