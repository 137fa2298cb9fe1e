// Opens the image of the address line with a recording link. `auto=1`: the link also answers, to
// try things by hand.
import { LabelApp } from "/ui/engine/label_app.js";
import { FakeLink } from "/fake_link.js";

const CLASSES = [
  { id: 0, name: "background", color: "#64748b" },
  { id: 1, name: "liver", color: "#ef5350" },
  { id: 2, name: "kidney", color: "#42a5f5" },
  { id: 3, name: "spleen", color: "#66bb6a" },
];

/** A new canvas in place of the old one: {image, auto, limit (bytes of a volume kept whole)}. */
window.begin = async ({ image, auto = false, limit }) => {
  window.app?.destroy();
  document.body.replaceChildren(Object.assign(document.createElement("div"), { id: "root" }));
  const link = new FakeLink({ auto });
  const app = new LabelApp(document.querySelector("#root"), {
    link,
    ...(limit ? { wholeLimit: limit } : {}),
  });
  const told = { hover: [], message: [], navigate: [], change: 0 };
  for (const name of ["hover", "message", "navigate"])
    app.addEventListener(name, (event) => told[name].push(event.detail));
  app.addEventListener("change", () => told.change++);
  app.addEventListener("navigate", (event) => app.open(event.detail.image));
  app.setClasses(CLASSES);
  Object.assign(window, { app, link, told });
  await app.open(image);
};

document.addEventListener("keydown", (event) => window.app?.key(event));
const wanted = new URLSearchParams(location.search);
if (wanted.has("image"))
  await window.begin({ image: Number(wanted.get("image")), auto: wanted.get("auto") === "1" });
document.body.dataset.harness = "1";
