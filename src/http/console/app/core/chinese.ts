/** Chinese texts by their English ones. A test holds every text of the page to this table. */
import { A_D } from "./chinese/a-d.ts";
import { E_O } from "./chinese/e-o.ts";
import { P_Z } from "./chinese/p-z.ts";

export const CHINESE: Readonly<Record<string, string>> = { ...A_D, ...E_O, ...P_Z };
