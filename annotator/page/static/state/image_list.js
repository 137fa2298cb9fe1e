/** Which images the Images tab lists: what is searched, filtered and in which order. */

import { call } from "../net/api.js";

const PAGE = 1000; // the most that the server tells at once

export const listed = { search: "", state: "", sort: "added", down: false };

/** The ids of all volumes that the tab lists, also of those further down. */
export async function listedVolumes() {
  const ids = [];
  for (let offset = 0; ; offset += PAGE) {
    const asked = new URLSearchParams({ offset, limit: PAGE, ...listed });
    const { total, items } = await call(`/api/images?${asked}`);
    ids.push(...items.filter(({ kind }) => kind === "volume").map(({ id }) => id));
    if (offset + PAGE >= total) return ids;
  }
}
