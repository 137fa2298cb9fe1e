/** Above the list of images: how many are done, in work, proposed and to do. */

import { call } from "../net/api.js";
import { STATES } from "../state/image_text.js";
import { imageUpdates } from "../state/image_updates.js";
import { session } from "../state/session.js";
import { element, setAttributes, setText } from "../ui/dom.js";
import { toast } from "../ui/toasts.js";

const ORDER = ["done", "work", "proposed", "todo"];
const SETTLE_MS = 300; // labels and proposals come in bursts

/** The element; it keeps itself up to date. */
export function projectProgress() {
  const text = element("p.sw-progress-text", { role: "status" });
  const parts = ORDER.map((state) => element("span", { dataset: { state } }));
  const bar = element(
    "div.sw-progress-bar",
    { role: "progressbar", "aria-label": "Images that are done", "aria-valuemin": 0 },
    parts,
  );
  const node = element("div.sw-project-progress", { hidden: true }, bar, text);
  const show = (counts) => {
    const total = ORDER.reduce((sum, state) => sum + counts[state], 0);
    node.hidden = !total;
    setAttributes(bar, { "aria-valuemax": total, "aria-valuenow": counts.done });
    parts.forEach((part) => (part.style.flexGrow = counts[part.dataset.state]));
    setText(text, progressText(counts, total));
  };
  let timer = 0;
  const again = () => {
    clearTimeout(timer);
    timer = setTimeout(
      () => call("/api/progress").then(show, (error) => toast(error.message, "warn")),
      SETTLE_MS,
    );
  };
  session.addEventListener("project", again);
  session.link.addEventListener("slices", again);
  imageUpdates.addEventListener("change", again);
  again();
  return node;
}

/** "2 of 35 done · 3 in work · 20 proposed · 10 to do". */
function progressText(counts, total) {
  const others = ORDER.slice(1).filter((state) => counts[state]);
  return [
    `${counts.done} of ${total} done`,
    ...others.map((state) => `${counts[state]} ${STATES[state]}`),
  ].join(" · ");
}
