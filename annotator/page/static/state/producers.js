/** Who made a pseudo-label, by the name that people read. */

import { learning } from "./learning.js";

/** The name of a pseudo-label's maker for people. */
export function producerTitle({ producer, kind }, propagators = []) {
  const makers = [...propagators, ...(learning.overview?.learners ?? [])];
  const title =
    makers.find((one) => one.name === producer)?.title ?? capital(producer.replaceAll("_", " "));
  return kind === "propagated" ? `Fill: ${title}` : `Model: ${title}`;
}

function capital(word) {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
