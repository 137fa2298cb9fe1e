/** The workspace: tools, top bar, canvas, status bar, and the one listener for keys. */

import { LabelApp } from "../engine/label_app.js";
import { askForClass } from "../panels/classes.js";
import { openNextObjects } from "../state/image_navigation.js";
import { imageUpdates } from "../state/image_updates.js";
import { session } from "../state/session.js";
import { element } from "../ui/dom.js";
import { startTheme } from "../ui/theme.js";
import { toast } from "../ui/toasts.js";
import { actions } from "./actions.js";
import { exposeToGradio } from "./gradio_bridge.js";
import { fiveSteps } from "./five_steps.js";
import { channelsbar, keepLook } from "./bars/channelsbar.js";
import { guidebar } from "./bars/guidebar.js";
import { lookingBanner } from "./looking.js";
import { objectsbar } from "./bars/objectsbar.js";
import { placesbar } from "./bars/placesbar.js";
import { promptbar } from "./bars/promptbar.js";
import { proposalbar } from "./bars/proposalbar.js";
import { dispatch } from "./key_dispatch.js";
import { statusbar } from "./bars/statusbar.js";
import { toolbar } from "./bars/toolbar.js";
import { topbar } from "./bars/topbar.js";
import { firstSteps, showFault, welcome } from "./welcome.js";

/** Fill the element that Gradio gives us. `trigger` raises Gradio events of the component. */
export async function mount(node, trigger) {
  const life = new AbortController();
  startTheme(life.signal);
  const root = node.querySelector(".sw");
  const host = element("div.sw-host");
  const focusCanvas = () =>
    (session.app?.active.overlay ?? host.querySelector("canvas[tabindex]"))?.focus({
      preventScroll: true,
    });
  const parts = {
    tools: toolbar(focusCanvas),
    top: topbar(focusCanvas),
    prompt: promptbar(focusCanvas),
    proposals: proposalbar(focusCanvas),
    guide: guidebar(focusCanvas),
    places: placesbar(focusCanvas),
    objects: objectsbar(focusCanvas),
    channels: channelsbar(focusCanvas),
    status: statusbar(),
  };
  const stage = element(
    "section.sw-stage",
    { "aria-label": "Canvas" },
    host,
    parts.channels.node,
    parts.prompt.node,
  );
  root.replaceChildren(
    element("h1.sw-hidden", {}, "Slicewise"),
    parts.top.node,
    lookingBanner(),
    parts.tools.node,
    stage,
    parts.proposals.node,
    parts.guide.node,
    parts.places.node,
    parts.objects.node,
    parts.status.node,
  );
  try {
    await session.start();
  } catch (error) {
    return showFault(stage, error);
  }
  const app = new LabelApp(host, {
    link: session.link,
    signal: life.signal,
    proposes: session.project.proposes,
    keepLook,
  });
  wire(app, parts, life.signal);
  session.setApp(app);
  document.querySelector("#side").dataset.proposes = session.project.proposes;
  imageUpdates.listen(life.signal);
  bindKeys(app, life.signal);
  bindGradio(trigger);
  stage.append(welcome());
  stage.after(firstSteps(), fiveSteps());
  destroyWithElement(node, app, life);
  await openFirst();
  // the first import of an empty project
  session.addEventListener("project", () => !session.image && openFirst());
  root.dataset.ready = "1";
}

function wire(app, parts, signal) {
  const update = () => {
    const state = app.state;
    for (const part of Object.values(parts)) part.update?.(state);
    session.dispatchEvent(new CustomEvent("change", { detail: state }));
  };
  app.addEventListener("change", update, { signal });
  app.addEventListener("hover", (event) => parts.status.hover(event.detail), { signal });
  app.addEventListener("classless", askForClass, { signal });
  app.addEventListener("message", ({ detail }) => toast(detail.text, detail.level), { signal });
  app.addEventListener("navigate", ({ detail }) => session.open(detail.image, detail), { signal });
  app.addEventListener("walked", () => void openNextObjects(), { signal });
  session.addEventListener("image", update, { signal });
  const tell = ({ detail: { message } }) => {
    if (!app.editor.history.find(message.id)?.part) tellAccepted(message); // a click is seen
    tellCleared(message);
  };
  session.link.addEventListener("ack", tell, { signal });
  update();
}

/** How much was accepted, background left out. */
function tellAccepted({ slices, voxels, objects }) {
  if (voxels === undefined) return; // not an acceptance, or one that was taken back
  const where = slices === 1 ? "1 slice" : `${slices} slices`;
  const what = session.image?.kind === "image" ? "pixels" : `voxels on ${where}`;
  const how = objects ? `, ${objects} ${objects === 1 ? "object" : "objects"}` : "";
  const much = voxels ? `${voxels.toLocaleString("en")} ${what}${how}` : "background alone";
  toast(`Accepted ${much}; press Ctrl+Z to undo.`, "info");
}

function tellCleared({ cleared, slices }) {
  if (!cleared) return;
  const what = cleared === 1 ? "1 label" : `${cleared} labels`;
  const where =
    session.image?.kind === "image" ? "" : ` on ${slices === 1 ? "1 slice" : `${slices} slices`}`;
  toast(`Cleared ${what}${where}; press Ctrl+Z to bring them back.`, "info");
}

function bindKeys(app, signal) {
  const listen = (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    if (dispatch(event, { app, session, actions })) event.preventDefault();
  };
  document.addEventListener("keydown", listen, { signal });
}

/** Keys change settings that Gradio's sliders show: let Gradio read them again. */
function bindGradio(trigger) {
  exposeToGradio();
  session.addEventListener("view", () => trigger("settings", {}));
  trigger("settings", {});
}

let mapShown = false; // by itself at most once

/** The image in the address, or else the first of the queue, or the map of a scene. */
async function openFirst() {
  if (session.opening) return;
  const asked = /#image=(\d+)/.exec(location.hash)?.[1];
  if (asked) await session.open(Number(asked));
  if (!session.image) await actions.step(1);
  if (!session.image && session.project.scenes.length && !mapShown) actions.sceneMap();
  mapShown ||= session.project.scenes.length > 0;
}

function destroyWithElement(node, app, life) {
  const watch = new MutationObserver(() => {
    if (node.isConnected) return;
    watch.disconnect();
    life.abort();
    app.destroy();
    session.link.close();
  });
  watch.observe(document.body, { childList: true, subtree: true });
}
