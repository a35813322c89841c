// Signing up and signing in, with the second step.

import { call, isSignedIn, keep } from "./api.js";
import { onSubmit, reset, withoutSpaces } from "./forms.js";
import { showForgot, showLinkIfAsked, showLookIntoMail } from "./mail.js";
import { element, notify, showScreen } from "./screens.js";
import { showResetIfAsked } from "./your_account.js";

let challengeId = null;

// `enter()` is called once somebody is signed in. Answers what takes tokens, or a challenge, that
// somebody has got in another way.
export function setUpSigningIn(enter) {
  const form = (id) => element(id).querySelector("form");

  async function signedIn(tokens) {
    keep(tokens);
    for (const one of document.querySelectorAll("form")) reset(one);
    history.replaceState(null, "", location.pathname); // so that signing out leads to "Sign in"
    await enter();
  }

  onSubmit(form("sign-up"), async (values) => {
    const { status, body } = await call("POST", "/auth/signup", values);
    if (status !== 202) return signedIn(body);
    reset(form("sign-up"));
    history.replaceState(null, "", location.pathname);
    showLookIntoMail();
  });

  onSubmit(form("sign-in"), async (values) => {
    await continueWith(await call("POST", "/auth/login", values));
  });

  for (const id of ["totp-step", "recovery-step"]) {
    onSubmit(element(id), async ({ code }) => {
      try {
        const answer = { challengeId, code: withoutSpaces(code) };
        const { body } = await call("POST", "/auth/login/2fa", answer);
        await signedIn(body);
      } catch (error) {
        if (error.code !== "challenge_not_found") throw error;
        showSignIn();
        notify(error.message);
      }
    });
  }

  element("other-way").addEventListener("click", () => {
    chooseWay(element("recovery-step").hidden ? "recovery-step" : "totp-step");
    showScreen("second-step");
  });
  element("start-again").addEventListener("click", () => showSignIn());
  const continueWith = ({ status, body }) => (status === 202 ? askForCode(body) : signedIn(body));

  window.addEventListener("hashchange", () => {
    if (showResetIfAsked() || showLinkIfAsked() || !element("home").hidden) return;
    if (isSignedIn()) enter();
    else showSignIn();
  });
  return continueWith;
}

// The screen for somebody who is not signed in: the one that the address names.
export function showSignIn(options) {
  challengeId = null;
  reset(element("sign-in").querySelector("form"));
  if (location.hash === "#forgot") {
    showForgot();
    return;
  }
  showScreen(location.hash === "#sign-up" ? "sign-up" : "sign-in", options);
}

function askForCode(challenge) {
  challengeId = challenge.challengeId;
  chooseWay("totp-step");
  showScreen("second-step");
}

function chooseWay(id) {
  for (const step of ["totp-step", "recovery-step"]) {
    element(step).hidden = step !== id;
    reset(element(step));
  }
  element("other-way").textContent =
    id === "totp-step" ? "Use a recovery code" : "Use your authenticator app";
}
