/** A group of buttons with one tab stop and arrow keys inside. */

/** One tab stop for a group of buttons; arrows move inside it. */
export function rove(group) {
  const buttons = [...group.querySelectorAll("button")];
  buttons.forEach((button, at) => (button.tabIndex = at ? -1 : 0));
  group.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    const at = buttons.indexOf(document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    focusOnly(buttons, buttons[(at + step + buttons.length) % buttons.length]);
  });
  group.addEventListener(
    "focusin",
    (event) => buttons.includes(event.target) && focusOnly(buttons, event.target),
  );
}

function focusOnly(buttons, one) {
  for (const button of buttons) button.tabIndex = button === one ? 0 : -1;
  if (document.activeElement !== one) one.focus();
}
