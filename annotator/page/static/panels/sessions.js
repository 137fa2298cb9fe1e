/** Where this person is signed in: one line for each browser, to sign out there or everywhere else. */

import { call } from "../net/api.js";
import { address } from "../net/root.js";
import { session } from "../state/session.js";
import { closeButton, show } from "../ui/dialogs.js";
import { element, setText } from "../ui/dom.js";
import { toast } from "../ui/toasts.js";

const TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** Open the list. */
export async function openSessions() {
  const { user, name } = session.project;
  const list = element("ul.sw-acts", { "aria-label": "Your sessions" });
  const elsewhere = element(
    "button.sw-button.small",
    { type: "button", onclick: () => end({}) },
    "Sign out everywhere else",
  );
  const draw = ({ sessions }) => {
    list.replaceChildren(...sessions.map((one) => row(one, end)));
    elsewhere.disabled = sessions.length < 2;
  };
  const end = async (body) => {
    const answer = await call("/api/sessions/end", body).catch(told);
    if (answer) draw(answer);
  };
  const answer = await call("/api/sessions").catch(told);
  if (!answer) return;
  draw(answer);
  const dialog = element("dialog.sw-dialog.sw-sessions", {
    "aria-labelledby": "sw-sessions-title",
  });
  const title = element("h2", { id: "sw-sessions-title" });
  setText(title, `${user} is signed in to “${name}” here`);
  dialog.append(
    element("header", {}, title, closeButton(dialog)),
    list,
    element(
      "footer",
      {},
      elsewhere,
      element("button.sw-button.danger", { type: "button", onclick: signOut }, "Sign out"),
    ),
  );
  show(dialog);
}

function row({ id, browser, address: from, since, seen, this: mine }, end) {
  const times = `Since ${time(since)}, last seen ${mine ? "now" : time(seen)}`;
  return element(
    "li.sw-act",
    { dataset: { mine } },
    element("span", {}, element("b", {}, `${browser}, ${from}`), element("br"), times),
    mine
      ? element("span.sw-mine", {}, "This one")
      : element(
          "button.sw-button.small",
          {
            type: "button",
            "aria-label": `Sign out: ${browser}, ${from}`,
            onclick: () => end({ id }),
          },
          "Sign out",
        ),
  );
}

const time = (iso) => TIME.format(new Date(iso));

async function signOut() {
  await fetch(address("/logout"), { method: "POST" });
  location.assign(address("/login"));
}

function told(error) {
  toast(error.message, "error");
}
