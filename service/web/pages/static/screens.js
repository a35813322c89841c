// What is to be seen: one screen at a time, one part of a card at a time, and a notice.

export const element = (id) => document.getElementById(id);

// Shows the screen with this id. Focus goes to its first field, else to its heading, so that those
// who do not see the change are told of it. Not on load: the page itself is read out then.
export function showScreen(id, { focus = true } = {}) {
  for (const screen of document.querySelectorAll(".screen")) screen.hidden = screen.id !== id;
  const heading = element(`${id}-heading`);
  document.title = id === "home" ? "Your account" : `${heading.textContent} – Your account`;
  element("sign-out").hidden = id !== "home";
  if (focus) (element(id).querySelector(":scope > form:not([hidden]) input") ?? heading).focus();
}

// Shows one of the parts of a card and hides the others.
export function showPart(id) {
  for (const part of element(id).parentElement.querySelectorAll(".part")) part.hidden = part.id !== id;
}

// Says something in passing. It is read out, and goes away by itself.
let fading;
export function notify(text) {
  clearTimeout(fading);
  element("notice").textContent = text;
  fading = setTimeout(() => {
    element("notice").textContent = "";
  }, 8_000);
}

// Copies text. Where the browser does not let us, it is left selected for the person to copy.
export async function copy(text, shownIn, what) {
  try {
    await navigator.clipboard.writeText(text);
    notify(`${what} copied.`);
  } catch {
    getSelection().selectAllChildren(shownIn);
    notify(`${what} selected. Copy it with your keyboard or its menu.`);
  }
}
