/**
 * Cards of jobs: how far an import, an export or a download is, how it ended, and what it left
 * behind.
 */

import { call } from "../net/api.js";
import { address } from "../net/root.js";
import { session } from "../state/session.js";
import { element, icon, iconButton, setAttributes, setText } from "../ui/dom.js";
import { toast } from "../ui/toasts.js";

const KINDS = {
  look: "Look at files",
  import: "Import",
  export: "Export",
  backup: "Backup",
  download: "Download",
  "model-export": "Model export",
  "model-import": "Model import",
};

const LINKS = { "model-export": "Download the model", backup: "Download the backup" };

/** A list of the jobs of some kinds, newest first, that keeps itself up to date. */
export function jobList(label, kinds) {
  const list = element("div.sw-jobs", { "aria-label": label, role: "region" });
  const cards = new Map();
  const draw = () => drawJobs(list, cards, kinds);
  session.addEventListener("jobs", draw);
  draw();
  return list;
}

function drawJobs(list, cards, kinds) {
  const jobs = [...session.jobs.values()].filter(
    (job) => kinds.includes(job.kind) && !(job.kind === "look" && job.state === "done"),
  );
  for (const [id, card] of cards) {
    if (jobs.some((job) => job.id === id)) continue;
    card.node.remove();
    cards.delete(id);
  }
  for (const job of jobs) {
    if (!cards.has(job.id)) {
      cards.set(job.id, jobCard(job));
      list.prepend(cards.get(job.id).node);
    }
    cards.get(job.id).show(job);
  }
}

/** Only who started a job and administrators end it. */
export const mayEnd = ({ by }) => session.project.administrator || by === session.project.user;

function jobCard({ id, kind, by }) {
  const bar = progressBar(KINDS[kind]);
  const text = element("span.sw-job-text");
  const refused = element("ul");
  const summary = element("summary");
  const details = element("details.sw-refused", { hidden: true }, summary, refused);
  const cancel = element(
    "button.sw-button.small",
    { type: "button", onclick: () => cancelJob(id) },
    "Cancel",
  );
  const forget = iconButton("close", "Remove from the list", {
    onclick: () => session.forgetJob(id),
  });
  const link = element(
    "a.sw-button.primary",
    { hidden: true, download: "" },
    icon("download", 16),
    LINKS[kind] ?? "Download the export",
  );
  const node = element(
    "article.sw-job",
    {},
    element("div.sw-job-head", {}, element("b", {}, KINDS[kind]), starter(by), cancel, forget),
    text,
    bar.node,
    link,
    details,
  );
  const show = (job) => {
    const running = job.state === "running";
    node.dataset.state = job.state;
    cancel.hidden = !running || !mayEnd(job);
    forget.hidden = running;
    bar.node.hidden = !running;
    bar.show(job.done, job.total);
    setText(text, jobText(job));
    if (job.url) offer(link, job.url);
    showRefused({ details, summary, refused }, job.refused ?? [], kind);
  };
  return { node, show };
}

/** "by ann", where it was somebody else. */
function starter(by) {
  const hidden = !by || by === session.project.user;
  return element("span.sw-job-by", { hidden }, `by ${by}`);
}

function jobText({ state, phase, done, total, message }) {
  const words = {
    done: message || "Done",
    failed: message || "Failed; see the server's log.",
    cancelled: message || "Cancelled",
  };
  if (state !== "running") return words[state];
  const count = total ? ` ${done.toLocaleString("en")} of ${total.toLocaleString("en")}` : "…";
  return `${phase}${count}${message ? ` · ${message}` : ""}`;
}

function offer(link, url) {
  if (!link.hidden) return;
  link.hidden = false;
  link.href = address(url);
}

function showRefused({ details, summary, refused }, lines, kind) {
  details.hidden = !lines.length;
  if (refused.children.length === lines.length) return;
  setText(summary, kind === "export" ? notesOf(lines.length) : leftOut(lines.length));
  refused.replaceChildren(...lines.map((line) => element("li", {}, line)));
}

const leftOut = (count) =>
  count === 1 ? "1 file was not imported" : `${count} files were not imported`;

/** An export says what a format cannot hold. */
const notesOf = (count) =>
  count === 1 ? "1 note on this export" : `${count} notes on this export`;

async function cancelJob(id) {
  try {
    await call(`/api/jobs/${id}/cancel`, {});
  } catch (error) {
    toast(error.message, "error");
  }
}

/** A progress bar; without a total it only says that something moves. */
export function progressBar(label) {
  const fill = element("i");
  const node = element(
    "div.sw-bar",
    { role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 },
    fill,
  );
  const show = (done, total) => {
    node.classList.toggle("unknown", !total);
    const percent = total ? Math.min(100, Math.round((100 * done) / total)) : 0;
    if (total) setAttributes(node, { "aria-valuenow": percent });
    fill.style.width = `${total ? percent : 100}%`;
  };
  return { node, show };
}
