/** Chinese texts by their English ones. A test holds every text of the page to this table. */
export const CHINESE: Readonly<Record<string, string>> = {};
