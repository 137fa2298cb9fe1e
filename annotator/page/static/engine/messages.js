// What the server says, to the part of the canvas that it concerns.

/** Listen to the link until the canvas ends. */
export function listen(parts) {
  const { link, signal, state, planes, prompts, proposals, mending } = parts;
  const on = (name, handler) => {
    const hear = ({ detail: { message, payload } }) => {
      if (state.image && (message.image === undefined || message.image === state.image.id))
        handler(message, payload);
    };
    link.addEventListener(name, hear, { signal });
  };
  on("mask", (message, payload) => prompts.receive(message, payload));
  on("mended", (message, payload) => mending.receive(message, payload));
  on("region", (message, payload) => state.session.region(message, payload));
  on("slices", (message) => {
    state.states.replace(message.slices);
    planes.statesChanged();
  });
  on("fill", (message) => proposals.filling(message));
  on("proposal", () => proposals.refresh());
  on("ack", (message) => acknowledged(parts, message));
  on("refused", (message) => refused(parts, message));
  // the chosen one, as far as it was said: before the canvas listened it may have been said already
  let model = null;
  let lost = ""; // why the model for volumes does not answer
  const chosen = ({ detail: { message } }) => {
    prompts.whole.on = Boolean(message.volumes);
    const why = message.volumes ? message.why : "";
    if (why !== lost && message.volumes)
      parts.notices.say(why ? "warn" : "info", why || `${message.answering} answers again.`);
    lost = why;
    if (message.name !== model && state.image) prompts.again(planes.active.ref);
    model = message.name;
  };
  link.addEventListener("model", chosen, { signal });
  link.addEventListener("up", () => reconnected(parts), { signal });
}

function acknowledged({ notices }, { conflict }) {
  if (conflict)
    notices.say(
      "warn",
      `${conflict.by} labelled there meanwhile; ${conflict.pixels} pixels keep that label.`,
    );
}

/** A question is answered by its sentence; a label that will never be taken disappears here too. */
function refused({ state, notices, prompts, editor, mending }, message) {
  if (message.mend !== undefined) return mending.refused(message);
  if (message.seq !== undefined && message.seq !== null) return prompts.refused(message);
  if (message.retry) return;
  editor.history.drop(message.id);
  reload(state, notices, (session) => session.loadLabels(state.cursor[0]));
  notices.changed();
}

function reconnected({ state, planes, notices, prompts, proposals, navigation }) {
  if (!state.image) return;
  navigation.tellOpen();
  navigation.look();
  prompts.resume(planes.active.ref, true);
  reload(state, notices, (session) => session.refresh(state.cursor[0]));
  proposals.refresh();
}

function reload({ session }, notices, work) {
  work(session).catch(
    (error) =>
      session.abort.signal.aborted ||
      notices.say("warn", `The labels could not be reloaded: ${error.message}`),
  );
}
