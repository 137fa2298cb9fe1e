// Opens the image of the address line with a recording link. `auto=1`: the link also answers, to try things by hand.
import { LabelApp } from "/ui/engine/app.js";
import { FakeLink } from "/fake_link.js";

const wanted = new URLSearchParams(location.search);
const link = new FakeLink({ auto: wanted.get("auto") === "1" });
const limit = wanted.get("limit");
const app = new LabelApp(document.querySelector("#root"), { link, ...(limit ? { wholeLimit: Number(limit) } : {}) });
const told = { hover: [], message: [], navigate: [], change: 0 };
for (const name of ["hover", "message", "navigate"]) app.addEventListener(name, (event) => told[name].push(event.detail));
app.addEventListener("change", () => told.change++);
app.addEventListener("navigate", (event) => app.open(event.detail.image));
document.addEventListener("keydown", (event) => app.key(event));
app.setClasses([
  { id: 0, name: "background", color: "#64748b" },
  { id: 1, name: "liver", color: "#ef5350" },
  { id: 2, name: "kidney", color: "#42a5f5" },
  { id: 3, name: "spleen", color: "#66bb6a" },
]);
Object.assign(window, { app, link, told });
await app.open(Number(wanted.get("image") ?? 1));
