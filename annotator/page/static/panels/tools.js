/** Other tools: the address that each takes, and this person's tokens for them. */

import { call } from "../net/api.js";
import { address } from "../net/root.js";
import { session } from "../state/session.js";
import { element } from "../ui/dom.js";
import { toast } from "../ui/toasts.js";

const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

/** Fill the element that Gradio gives us. */
export async function mount(node) {
  await session.start();
  const root = node.querySelector(".sw-panel");
  const draw = ({ tools, tokens, needed, secret }) =>
    root.replaceChildren(
      addresses(tools),
      tools.some((tool) => tool.on) ? tokenPart({ tokens, needed, secret }, act) : "",
    );
  const act = async (path, body) => {
    const answer = await call(path, body).catch(told);
    if (answer) draw(answer);
  };
  await act("/api/tools");
}

function addresses(tools) {
  const on = tools.filter((tool) => tool.on);
  const names = tools.map((tool) => tool.name).join(",");
  if (!on.length)
    return element(
      "p.sw-hint",
      {},
      "Other tools can label here with you, such as 3D Slicer. They are switched off. ",
      "Start the app with ",
      element("code", {}, `--serve ${names}`),
      " to let them in.",
    );
  return element("ul.sw-addresses", { "aria-label": "Addresses for other tools" }, on.map(toolRow));
}

function toolRow({ name, title, paste }) {
  const where = new URL(address(`/${name}`), location.href).href;
  return element(
    "li",
    {},
    element("b", {}, title),
    copyable(where, `Address for ${title}`),
    element("small", {}, paste),
  );
}

/** A text that is there to be copied, with a button that does it. */
function copyable(text, label) {
  const field = element("input.sw-text", { readonly: true, value: text, "aria-label": label });
  field.addEventListener("focus", () => field.select());
  const copy = async () => {
    field.select();
    try {
      await navigator.clipboard.writeText(text);
      toast("Copied.", "info");
    } catch {
      toast("Press Ctrl+C to copy it.", "info"); // browsers allow more only over https
    }
  };
  const button = element(
    "button.sw-button.small",
    { type: "button", "aria-label": `Copy: ${label}`, onclick: copy },
    "Copy",
  );
  return element("div.sw-row", {}, field, button);
}

function tokenPart({ tokens, needed, secret }, act) {
  const hint = needed
    ? "A tool signs in with your name and password, or with a token. Make one for each tool."
    : "Tools on this computer need no token: nobody has an account here.";
  return element(
    "div.sw-tokens",
    {},
    element("p.sw-hint", {}, hint),
    secret && shownOnce(secret),
    tokens.length &&
      element(
        "ul.sw-acts",
        { "aria-label": "Your tokens" },
        tokens.map((token) => tokenRow(token, act)),
      ),
    tokenForm(act),
  );
}

function shownOnce(secret) {
  return element(
    "div.sw-secret",
    { role: "status" },
    element("b", {}, "Copy the token now: it is not shown again."),
    copyable(secret, "Token"),
  );
}

function tokenRow({ id, note, made, used }, act) {
  const times = `Made ${day(made)}, ${used ? `last used ${day(used)}` : "not used yet"}`;
  const revoke = () => act("/api/tools/revoke", { id });
  return element(
    "li.sw-act",
    {},
    element("span", {}, element("b", {}, note), element("br"), times),
    element(
      "button.sw-button.small",
      { type: "button", "aria-label": `Revoke: ${note}`, onclick: revoke },
      "Revoke",
    ),
  );
}

function tokenForm(act) {
  const note = element("input.sw-text", {
    "aria-label": "What the token is for",
    placeholder: "Slicer on my laptop",
    maxlength: 60,
    required: true,
  });
  const submit = (event) => {
    event.preventDefault();
    if (note.value.trim()) act("/api/tools/token", { note: note.value.trim() });
  };
  return element(
    "form.sw-row",
    { onsubmit: submit },
    note,
    element("button.sw-button", { type: "submit" }, "Make a token"),
  );
}

const day = (iso) => DAY.format(new Date(iso));

function told(error) {
  toast(error.message, "error");
}
