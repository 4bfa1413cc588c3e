/** Short messages about what has just been done, with a way to undo it where there is one. */
import { Store } from "./store.ts";

export interface Toast {
  readonly id: number;
  readonly kind: "good" | "bad";
  readonly text: string;
  readonly action?: { readonly label: string; readonly run: () => void };
}

const SHOWN_MS = 6000;
const SHOWN_BAD_MS = 15_000;

export class Toasts {
  readonly list = new Store<readonly Toast[]>([]);
  private next = 0;

  good(text: string, action?: Toast["action"]): void {
    this.add({ kind: "good", text, ...(action && { action }) });
  }

  bad(text: string): void {
    this.add({ kind: "bad", text });
  }

  dismiss(id: number): void {
    this.list.set(this.list.value.filter((toast) => toast.id !== id));
  }

  private add(toast: Omit<Toast, "id">): void {
    const id = this.next++;
    // Only the last thing that was done can be undone by itself.
    const others = this.list.value.filter(({ text, action }) =>
      text !== toast.text && action === undefined
    ).slice(-3);
    this.list.set([...others, { ...toast, id }]);
    setTimeout(() => this.dismiss(id), toast.kind === "bad" ? SHOWN_BAD_MS : SHOWN_MS);
  }
}
