// What the server says, to the part of the canvas that it concerns.

/** Listen to the link until the canvas ends. */
export function listen(app) {
  const { link, signal } = app;
  const on = (name, handler) => {
    const hear = ({ detail: { message, payload } }) => {
      if (app.session && (message.image === undefined || message.image === app.image.id))
        handler(message, payload);
    };
    link.addEventListener(name, hear, { signal });
  };
  on("mask", (message, payload) => app.prompts.receive(message, payload));
  on("region", (message, payload) => app.session.region(message, payload));
  on("slices", (message) => {
    app.states.replace(message.slices);
    app.statesChanged();
  });
  on("fill", (message) => app.proposals.filling(message));
  on("proposal", () => app.proposals.refresh());
  on("ack", (message) => acknowledged(app, message));
  on("refused", (message) => refused(app, message));
  // the chosen one, as far as it was said: before the canvas listened it may have been said already
  let model = null;
  const chosen = ({ detail: { message } }) => {
    if (message.name !== model && app.session && app.active) app.prompts.again(app.active.ref);
    model = message.name;
  };
  link.addEventListener("model", chosen, { signal });
  link.addEventListener("up", () => reconnected(app), { signal });
}

function acknowledged(app, { conflict }) {
  if (conflict)
    app.say(
      "warn",
      `${conflict.by} drew there meanwhile: ${conflict.pixels} pixels keep the newer label.`,
    );
}

/** A question is answered by its sentence; a label that will never be taken disappears here too. */
function refused(app, message) {
  if (message.seq !== undefined && message.seq !== null) return app.prompts.refused(message);
  if (message.retry) return;
  app.editor.history.drop(message.id);
  reload(app, () => app.session.loadLabels(app.cursor[0]));
  app.changed();
}

function reconnected(app) {
  if (!app.session) return;
  app.link.send({ t: "open", image: app.image.id });
  app.navigation.look();
  app.prompts.resume(app.active.ref, true);
  reload(app, () => app.session.refresh(app.cursor[0]));
  app.proposals.refresh();
}

function reload(app, work) {
  const { session } = app;
  work().catch(
    (error) =>
      session.abort.signal.aborted ||
      app.say("warn", `The labels could not be read again: ${error.message}`),
  );
}
