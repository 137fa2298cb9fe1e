/**
 * What others do to the open image, and what was told while the connection was down.
 */

import { call } from "../net/api.js";
import { toast } from "../ui/toasts.js";

/** Listen from now on; `session` has a link. */
export function followOthers(session) {
  const on = (type, hear) =>
    session.link.addEventListener(type, ({ detail }) => hear(detail?.message ?? {}));
  on("image", (told) => {
    if (told.image === session.opening?.id) session.opening.told = told;
    else if (told.image === session.image?.id) void imageChanged(session, told);
  });
  on("up", () => {
    if (session.image) void imageChanged(session, {});
    askForJobs(session);
  });
}

/** The open image has another name or header by now, is a film or none any more, or is gone. */
export async function imageChanged(session, { gone, by, became }) {
  const { image } = session;
  if (became) return session.open(became); // the same, turned as its header says
  if (gone) return leave(session, by);
  let now;
  try {
    now = await call(`/api/images/${image.id}`);
  } catch (error) {
    if (session.image !== image) return;
    return error.status === 404 ? leave(session, by) : toast(error.message, "warn");
  }
  if (session.image !== image) return;
  if (lying(now) !== lying(image)) return session.open(image.id);
  if (now.name === image.name) return;
  image.name = now.name;
  document.title = `${image.name} · Slicewise`;
  session.dispatchEvent(new CustomEvent("image"));
}

/** Whoever listens to `project` opens another image, if there is one. */
async function leave(session, by) {
  const name = session.image?.name ?? "The image";
  if (by !== session.project.user)
    toast(`${name} was deleted${by ? ` by ${by}` : ""}; the Data tab brings it back.`);
  session.app.close();
  session.image = null;
  history.replaceState(null, "", location.pathname); // it named the image that is gone
  document.title = "Slicewise";
  session.dispatchEvent(new CustomEvent("image"));
  await session.refresh();
}

function askForJobs(session) {
  for (const { id, state } of session.jobs.values()) {
    if (state !== "running") continue;
    call(`/api/jobs/${id}`).then(
      (job) => session.takeJob(job),
      () => session.forgetJob(id), // of a server that is gone
    );
  }
}

const lying = ({ spacing_mm: spacing, marks, frames }) => JSON.stringify([spacing, marks, frames]);
