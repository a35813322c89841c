// What mail is for: a forgotten password, an address that is verified or changed, and its links.

import { call, callSignedIn, forgetEverywhere, isSignedIn } from "./api.js";
import { onPress, onSubmit, reset } from "./forms.js";
import { element, notify, showScreen } from "./screens.js";

const LINK = /^#(verify|change|undo)=(osm_[\w-]+)$/;

const ACTIONS = {
  verify: {
    path: "/auth/email/verify",
    heading: "Is this your address?",
    text: "Confirm that the mail came to you.",
    button: "Confirm address",
    done: "Your address is confirmed.",
  },
  change: {
    path: "/auth/email/change/confirm",
    heading: "Use this address?",
    text: "Your account gets this address. You will be signed out everywhere but where you have asked for it.",
    button: "Use this address",
    done: "Your account has this address now.",
  },
  undo: {
    path: "/auth/email/change/undo",
    heading: "Take your account back?",
    text: "Your account gets this address back. Everybody is signed out, and the password is void: ask for another then.",
    button: "Take it back",
    done: "Your account has its address back. Now choose a new password.",
  },
};

let asked = null;

// `enter()` shows the account of who is signed in; `leave(text)` that nobody is any more.
export function setUpMail(enter, leave) {
  onSubmit(element("forgot").querySelector("form"), async ({ email }) => {
    await call("POST", "/auth/password/reset/request", { email });
    history.replaceState(null, "", location.pathname);
    leave("If there is an account with this address, a mail is on its way.");
  });

  onPress(element("follow-link-button"), element("follow-link-error"), async () => {
    const { name, token } = asked;
    await call("POST", ACTIONS[name].path, { token });
    asked = null;
    if (name === "undo") {
      forgetEverywhere();
      showForgot();
    } else if (isSignedIn()) await enter();
    else leave(ACTIONS[name].done);
    notify(ACTIONS[name].done);
  });

  onPress(element("verify-email"), element("address-error"), async () => {
    await callSignedIn("POST", "/auth/email/verify/request");
    notify("A mail with a link is on its way.");
  });

  onSubmit(element("change-email"), async ({ email }) => {
    await callSignedIn("POST", "/auth/email/change", { email });
    closeEmailForm();
    notify("A mail with a link is on its way to that address.");
  });
}

// The part of the account about its address.
export function showAddress(user) {
  element("address").textContent = user?.email ?? "";
  const verified = user?.emailVerified ?? false;
  element("address-state").textContent = verified ? "Confirmed" : "Not confirmed";
  element("address-state").classList.toggle("on", verified);
  element("verify-email").hidden = verified;
  closeEmailForm();
}

export function showForgot() {
  reset(element("forgot").querySelector("form"));
  showScreen("forgot");
}

export function showLookIntoMail() {
  showScreen("look-into-mail");
}

// A link of a mail leads here. Its token goes out of the address at once, and is used when the
// button is pressed: programs that open every link in a mail press none.
export function showLinkIfAsked() {
  const [, name, token] = LINK.exec(location.hash) ?? [];
  if (!token) return false;
  asked = { name, token };
  history.replaceState(null, "", location.pathname);
  const { heading, text, button } = ACTIONS[name];
  element("follow-link-heading").textContent = heading;
  element("follow-link-text").textContent = text;
  element("follow-link-button").textContent = button;
  element("follow-link-error").textContent = "";
  showScreen("follow-link");
  return true;
}

function closeEmailForm() {
  reset(element("change-email"));
  element("change-email").closest("details").open = false;
}
