/** Where the messages of core/toasts.ts appear. */
import { useApp, useTexts } from "../core/app.ts";
import { useStore } from "../core/store.ts";
import { Icon } from "./icons.tsx";

export function Toaster() {
  const { toasts } = useApp();
  const t = useTexts();
  const list = useStore(toasts.list);
  return (
    <div class="toasts" role="status" aria-live="polite">
      {list.map(({ id, kind, text, action }) => (
        <div class={`toast ${kind}`} key={id}>
          <span>{text}</span>
          <span class="row tight push">
            {action && (
              <button
                type="button"
                class="small"
                onClick={() => {
                  toasts.dismiss(id);
                  action.run();
                }}
              >
                {action.label}
              </button>
            )}
            <button
              type="button"
              class="icon small plain"
              aria-label={t("Close")}
              onClick={() => toasts.dismiss(id)}
            >
              <Icon name="close" />
            </button>
          </span>
        </div>
      ))}
    </div>
  );
}
