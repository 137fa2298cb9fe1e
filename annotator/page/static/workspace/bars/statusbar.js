/**
 * Under the canvas: what is under the pointer, which model answers, running jobs, and whether all
 * is saved.
 */

import { openSessions } from "../../panels/sessions.js";
import { percentRight } from "../../state/expectations.js";
import { session } from "../../state/session.js";
import { element, icon, setText } from "../../ui/dom.js";
import { setAsideChip } from "../set_aside.js";

const SIGNED_IN = "Where you are signed in, and signing out";

/** The status bar: {node, hover(detail)}. */
export function statusbar() {
  const readout = hoverReadout();
  const node = element(
    "footer.sw-status",
    {},
    readout.node,
    element("span.sw-spacer"),
    fillChip(),
    jobChip(),
    modelChip(),
    personChip(),
    setAsideChip(),
    linkChip(),
  );
  return { node, hover: readout.show };
}

function hoverReadout() {
  const dot = element("i.sw-dot");
  const name = element("span.sw-hover-class");
  const value = element("span");
  const place = element("span", {
    title: "Counted from 1; exported arrays count from 0",
  });
  const node = element(
    "div.sw-hover",
    { "aria-hidden": "true" },
    element("span.sw-hover-label", {}, dot, name),
    value,
    place,
  );
  const show = (detail) => {
    node.hidden = !detail;
    if (!detail) return;
    dot.style.background = colourOf(detail.proposed?.classId ?? detail.classId);
    setText(name, hoverText(detail));
    dot.classList.toggle("proposed", Boolean(detail.proposed));
    setText(
      value,
      detail.channels ? channelText(detail.channels) : `value ${intensity(detail.value)}`,
    );
    setText(place, placeText(detail));
  };
  show(null);
  return { node, show };
}

/** What is labelled there, else what is proposed. */
function hoverText({ className, instance, pixels, proposed }) {
  if (proposed) return proposedText(proposed);
  return className + (instance ? ` #${instance}` : "") + (pixels ? `, ${pixels} pixels` : "");
}

/** With the share of such voxels that were right, where held-out labels tell. */
function proposedText({ classId, className, sure, object, pixels, place, others }) {
  const size = object ? `, object ${object} of ${pixels} pixels` : `, ${pixels} pixels`;
  const which = (pixels ? size : "") + (others ? `, surer than ${place} of ${others} others` : "");
  const right = classId ? percentRight(sure, session.app.state.proposal.shown?.shares) : null;
  return `proposed: ${className}${which}${right === null ? "" : `, right in ${right} %`}`;
}

function colourOf(id) {
  return session.classes.find((one) => one.id === id)?.color ?? "transparent";
}

function intensity(value) {
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return [...value].join(", ");
  return Number.isInteger(value) ? String(value) : (value?.toPrecision(4) ?? "–");
}

/** "DAPI 512  GFP 30" */
function channelText(channels) {
  return channels.map(({ name, value }) => `${name} ${intensity(value)}`).join("  ");
}

/** "x 120 y 88 z 31   112.5, 82.5, 93.0 mm": from 1, as the titles of the planes count. */
function placeText({ position, mm }) {
  const [z, y, x] = position.map((each) => each + 1);
  const voxels = session.image?.kind === "volume" ? `x ${x}  y ${y}  z ${z}` : `x ${x}  y ${y}`;
  if (!mm) return voxels;
  const [mz, my, mx] = mm.map((each) => each.toFixed(1));
  const place = session.image?.kind === "volume" ? `${mx}, ${my}, ${mz}` : `${mx}, ${my}`;
  return `${voxels}   ${place} mm`;
}

/** How far the fill of the open volume is, where it takes longer than a moment. */
function fillChip() {
  const node = element("span.sw-chip.sw-job-chip", {
    role: "status",
    title: "The app is filling the volume from your labels",
    hidden: true,
  });
  session.addEventListener("change", ({ detail: { proposal } }) => {
    node.hidden = proposal.progress === null;
    if (!node.hidden) setText(node, `Filling ${Math.floor(100 * proposal.progress)} %`);
  });
  return node;
}

function jobChip() {
  const node = element("span.sw-chip.sw-job-chip", { role: "status", hidden: true });
  session.addEventListener("jobs", () => {
    const running = [...session.jobs.values()].filter(
      (job) => job.state === "running" && job.kind !== "embed",
    );
    const job = running.at(-1);
    node.hidden = !job;
    if (!job) return;
    const far = job.total ? ` ${Math.floor((100 * job.done) / job.total)} %` : "…";
    setText(node, `${job.phase || job.kind}${far}`);
  });
  return node;
}

function modelChip() {
  const node = element("span.sw-chip");
  const show = () => {
    const active = session.project?.models.find((model) => model.active);
    const name = session.answering?.answering ?? active?.title ?? active?.name;
    const titled = session.project?.models.find((model) => model.name === name)?.title ?? name;
    setText(node, titled ? `Model: ${titled}` : "");
    node.title = session.answering?.why ?? active?.detail ?? "";
  };
  session.addEventListener("model", show);
  session.addEventListener("project", show);
  session.start().then(show, () => {});
  return node;
}

function personChip() {
  const name = element("span");
  const node = element(
    "button.sw-person",
    { type: "button", onclick: openSessions },
    icon("person", 14),
    name,
  );
  const show = () => {
    setText(name, session.project?.user ?? "");
    node.title = session.project?.sign_in ? SIGNED_IN : "Your name in this project";
    node.disabled = !session.project?.sign_in; // who did not sign in would be in again at once
  };
  session.addEventListener("project", show);
  show();
  return node;
}

function linkChip() {
  const text = element("span", {}, "Connecting…");
  const node = element(
    "span.sw-link",
    { role: "status", "aria-live": "polite", dataset: { mode: "connecting" } },
    element("i.sw-lamp"),
    text,
  );
  const show = () => {
    const { mode, text: words, detail } = session.link.state;
    node.dataset.mode = mode;
    node.title = detail;
    setText(text, words);
  };
  session.start().then(
    () => {
      session.link.addEventListener("state", show);
      show();
    },
    () => {},
  );
  return node;
}
