/**
 * Bringing images in: files or folders that are dropped or chosen, uploaded one by one, then
 * imported by the server.
 */

import { call, put } from "../net/api.js";
import { toast } from "../ui/toasts.js";
import { session } from "./session.js";

const CONCURRENT_UPLOADS = 2; // uploads side by side

// "progress" with detail {done, total, bytes, size, state}; "look" with the batch that arrived
export const uploads = new EventTarget();
let running = null;

export const chooseFiles = async () => upload(await pickFiles({ multiple: true }));
export const chooseFolder = async () => upload(await pickFiles({ webkitdirectory: true }));

/** Files that a person picks, as [{file, name}]; none where they close the window. */
export function pickFiles(kind) {
  const input = Object.assign(document.createElement("input"), { type: "file", ...kind });
  return new Promise((resolve) => {
    const picked = () =>
      resolve(
        [...input.files].map((file) => ({ file, name: file.webkitRelativePath || file.name })),
      );
    input.addEventListener("change", picked);
    input.addEventListener("cancel", () => resolve([]));
    input.click();
  });
}

/** Files dropped anywhere on the page are uploaded; folders keep their structure. */
export function acceptDrops(zone, signal) {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0;
  const enter = (by) => {
    depth = Math.max(0, depth + by);
    document.body.classList.toggle("sw-dropping", depth > 0);
  };
  zone.addEventListener("dragenter", (event) => hasFiles(event) && enter(1), { signal });
  zone.addEventListener("dragleave", (event) => hasFiles(event) && enter(-1), { signal });
  zone.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault(), {
    signal,
  });
  const drop = async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    depth = 0;
    enter(0);
    upload(await filesOf(event.dataTransfer));
  };
  zone.addEventListener("drop", drop, { signal });
}

/** Every file of a drop with its path below what was dropped: [{file, name}]. */
async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const found = [];
  for (const entry of entries) await walk(entry, found);
  return found;
}

async function walk(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    found.push({ file, name: entry.fullPath.replace(/^\//, "") });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const one of some) await walk(one, found);
  }
}

/** Upload and import; one at a time. */
async function upload(files) {
  if (!files.length) return;
  if (running) return toast("An upload is running; wait for it, or cancel it first.", "warn");
  running = new AbortController();
  const progress = {
    done: 0,
    total: files.length,
    bytes: 0,
    size: files.reduce((sum, { file }) => sum + file.size, 0),
    state: "running",
  };
  const tell = (change) =>
    uploads.dispatchEvent(new CustomEvent("progress", { detail: Object.assign(progress, change) }));
  try {
    tell({});
    await send(files, { progress, tell, signal: running.signal });
    tell({ state: "done" });
  } catch (error) {
    tell({ state: "stopped" });
    if (error.name !== "AbortError") toast(error.message, "error");
    running.abort();
  } finally {
    running = null;
  }
}

export const cancelUpload = () => running?.abort();

/** A few files for something else than an import: `finish(batch)` says what becomes of them. */
export function uploadBatch(files, finish) {
  const { signal } = new AbortController();
  return send(files, { progress: { done: 0 }, tell: () => {}, signal, finish });
}

/** Files that have arrived are looked at; "look" tells the page that it can show what they become. */
async function lookAt(batch) {
  const { job } = await call(`/api/upload/${batch}/look`, {});
  const { state, message } = await session.jobEnded(job);
  if (state === "done") uploads.dispatchEvent(new CustomEvent("look", { detail: batch }));
  else if (message) toast(message, state === "failed" ? "error" : "info");
}

async function send(files, { progress, tell, signal, finish = lookAt }) {
  const { batch } = await call("/api/upload/begin", {});
  const waiting = files.map(({ file, name }, n) => ({
    file,
    path: `/api/upload/${batch}/${n}?name=${encodeURIComponent(name)}`,
  }));
  const underWay = new Map(); // path -> bytes that left
  const onProgress = (path) => (bytes) => {
    underWay.set(path, bytes);
    tell({ bytes: [...underWay.values()].reduce((sum, each) => sum + each, 0) });
  };
  const worker = async () => {
    while (waiting.length && !signal.aborted) {
      const { file, path } = waiting.shift();
      await put(path, file, { signal, onProgress: onProgress(path) });
      underWay.set(path, file.size);
      tell({ done: progress.done + 1 });
    }
  };
  await Promise.all(Array.from({ length: CONCURRENT_UPLOADS }, worker));
  signal.throwIfAborted();
  await finish(batch);
  session.refresh();
}
