/**
 * The console. A page of Preact components over the HTTP API, and nothing else: whatever it shows or
 * does, curl can read and do too.
 *
 *     core/    requests, the live stream, where we are, language: no drawing
 *     ui/      parts that pages are made of: cards, forms, dialogs, charts
 *     pages/   one file or a few for each page
 *     style/   the style sheets
 *
 * - Texts from the switch are drawn as text, never as HTML; the CSP allows neither inline scripts nor
 *   inline styles, nor anything from elsewhere.
 * - Every text is English in the code and goes through `t()`; core/chinese.ts has it in Chinese.
 * - One event stream a page (core/live.ts); what is read of the database is read again when it has
 *   changed.
 */
import { render } from "preact";
import "./style/base.css";
import "./style/shell.css";
import "./style/parts.css";
import "./style/chart.css";
import "./style/pages.css";
import { Api } from "./core/api.ts";
import { AppContext } from "./core/app.ts";
import { Live } from "./core/live.ts";
import { Router } from "./core/router.ts";
import { Settings } from "./core/settings.ts";
import { Toasts } from "./core/toasts.ts";
import { Root } from "./ui/root.tsx";

const setupToken = /^#setup=([A-Za-z0-9_-]+)$/.exec(location.hash)?.[1];
// The secret is not to stay in the address bar.
if (setupToken !== undefined) history.replaceState(null, "", "/");

const app = {
  api: new Api(),
  live: new Live(),
  router: new Router(),
  settings: new Settings(),
  toasts: new Toasts(),
};
void app.api.whoAmI();

const place = document.getElementById("app");
if (place !== null) {
  render(
    <AppContext.Provider value={app}>
      <Root setupToken={setupToken} />
    </AppContext.Provider>,
    place,
  );
}
