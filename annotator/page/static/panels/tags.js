/** The panel that opens the grid of tags, and says whether tagging is worth the minutes here. */

import { call } from "../net/api.js";
import { session } from "../state/session.js";
import { element, setText } from "../ui/dom.js";
import { openTagGrid } from "./tag_grid.js";

/** Fill the element that Gradio gives us. */
export async function mount(node) {
  const root = node.querySelector(".sw-panel");
  const why = element("p.sw-count", { role: "status" });
  const open = element(
    "button.sw-button.small",
    { type: "button", onclick: () => openTagGrid(read) },
    "Tag images",
  );
  root.replaceChildren(why, element("div.sw-row", {}, open));
  await session.start();
  const read = async () => {
    open.disabled = !session.project.images_total;
    try {
      const { suggest, why: words } = await call("/api/tags/advice");
      setText(why, words);
      open.classList.toggle("primary", suggest);
    } catch (error) {
      setText(why, error.message);
    }
  };
  session.addEventListener("project", read);
  await read();
}
