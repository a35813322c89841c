// Questions in between: whether somebody is sure, and whether it is still them.

import { ApiError, onProofNeeded, reauthenticate } from "./api.js";
import { onSubmit, reset, withoutSpaces } from "./forms.js";
import { element } from "./screens.js";

const CANCELLED = { code: "cancelled", message: "Nothing was changed." };
const FORMS = ["proof-by-password", "proof-by-code"];

let settle = null; // of the question that is on the screen
let hasSecondFactor = false;

// Asks before what cannot be undone: answers whether to go on. `action` is what the button says.
export function isSure({ heading, text, action }) {
  element("question-heading").textContent = heading;
  element("question-text").textContent = text;
  element("question-yes").textContent = action;
  return answered(element("question"));
}

// Which proof will be asked for: a code where the second factor is on, else the password.
export function expectSecondFactor(isOn) {
  hasSecondFactor = isOn;
}

export function setUpDialogs() {
  element("question-yes").addEventListener("click", () => settle(true));
  element("question-no").addEventListener("click", () => settle(false));
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("cancel", () => settle(false)); // Esc
  }
  for (const button of document.querySelectorAll("dialog .cancel")) {
    button.addEventListener("click", () => settle(false));
  }
  onSubmit(element("proof-by-password"), ({ password }) => proveBy({ password }));
  onSubmit(element("proof-by-code"), ({ code }) => proveBy({ code: withoutSpaces(code) }));
  onProofNeeded(prove);
}

// Nobody is signed in any more: takes the question off the screen, and nothing comes of it.
export function dismissQuestion() {
  for (const dialog of document.querySelectorAll("dialog")) dialog.close(); // now: it holds the focus
  settle?.(null);
}

async function prove() {
  showForm(hasSecondFactor);
  const isProved = await answered(element("proof"));
  for (const id of FORMS) reset(element(id));
  if (isProved) return;
  const error = new ApiError(0, CANCELLED);
  error.isTold = isProved === null;
  throw error;
}

async function proveBy(proof) {
  try {
    await reauthenticate(proof);
  } catch (error) {
    if (error.code !== "factor_required") throw error;
    hasSecondFactor = !hasSecondFactor; // it was turned on or off elsewhere
    showForm(hasSecondFactor);
    return;
  }
  settle?.(true); // where somebody has signed out meanwhile, there is no question any more
}

function showForm(byCode) {
  element("proof-by-code").hidden = !byCode;
  element("proof-by-password").hidden = byCode;
  element(byCode ? "proof-code" : "proof-password").focus();
}

// Shows the dialog until it is answered. Focus goes back to where it was: the browser sees to it.
async function answered(dialog) {
  dialog.showModal();
  try {
    return await new Promise((resolve) => {
      settle = resolve;
    });
  } finally {
    settle = null;
    dialog.close();
  }
}
