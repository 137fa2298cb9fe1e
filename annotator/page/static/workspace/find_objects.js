/** Every object of a picture that the prompt model is sure of, as a proposal of the current class. */

import { call } from "../net/api.js";
import { session } from "../state/session.js";
import { toast } from "../ui/toasts.js";

const AUTOMATIC = "automatic_masks"; // its producer

/** Ask for them; they are shown once they are there. */
export async function findObjects() {
  const { app } = session;
  const image = app?.image;
  if (!image) return toast("Open an image first.", "info");
  if (image.kind === "volume")
    return toast(
      "This is for pictures; in a volume label one slice, and the app fills the rest.",
      "info",
    );
  const { classId, classes } = app.state;
  if (!classes.some((one) => one.id === classId && one.id > 0))
    return toast("Choose the class of the objects first, in the Label tab.", "info");
  try {
    await call(`/api/images/${image.id}/find-objects`, { class_id: classId });
    app.proposals.show(AUTOMATIC);
    app.setTool("objects");
  } catch (error) {
    toast(error.message, "info");
  }
}
