/** The Model panel: which prompt models there are, which one answers, and why. */

import { call } from "./api.js";
import { jobList } from "./data.js";
import { h, icon, setText } from "./dom.js";
import { session } from "./session.js";
import { toast } from "./toasts.js";

/** Fill the element that Gradio gives us. */
export async function mount(element) {
  const root = element.querySelector(".sw-panel");
  await session.start();
  const why = h("p.sw-why", { role: "status" });
  const list = h("ul.sw-models", { "aria-label": "Prompt models" });
  root.replaceChildren(why, list, jobList("Downloads", ["download"]));
  const draw = () => {
    list.replaceChildren(...session.project.models.map(modelCard));
    setText(why, session.answering?.why ?? "");
    why.hidden = !session.answering?.why;
  };
  for (const type of ["project", "model"]) session.addEventListener(type, draw);
  draw();
}

function modelCard(model) {
  return h(
    "li.sw-model",
    { dataset: { active: String(model.active), state: model.state } },
    h("div.sw-model-head", {}, h("b", {}, model.title), model.active && h("span.sw-badge", {}, icon("check", 13), "chosen")),
    h("p", {}, model.detail),
    modelButtons(model),
  );
}

function modelButtons(model) {
  const choose = (event) => act(event, () => call("/api/model", { name: model.name }));
  const download = (event) => act(event, () => call(`/api/model/${encodeURIComponent(model.name)}/download`, {}));
  const buttons = [
    !model.active && model.state === "ready" && h("button.sw-button.small", { type: "button", onclick: choose }, "Use this model"),
    model.state === "missing" && h("button.sw-button.small", { type: "button", onclick: download }, icon("download", 14), "Download"),
  ].filter(Boolean);
  return buttons.length ? h("div.sw-row", {}, buttons) : null;
}

/** Run what a button asks for; it rests meanwhile, because loading a model may take seconds. */
async function act({ currentTarget: button }, work) {
  button.disabled = true;
  try {
    await work();
    await session.refresh();
  } catch (error) {
    toast(error.message, "error");
  }
  button.disabled = false;
}
