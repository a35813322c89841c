// The page: who is here decides what it shows.

import { adoptFromOtherTab, callSignedIn, forget, isSignedIn, signOut } from "./api.js";
import { dismissQuestion, setUpDialogs } from "./dialogs.js";
import { onPress } from "./forms.js";
import { setUpMail, showAddress, showLinkIfAsked } from "./mail.js";
import { setUpProviders, showLinks, welcomeBack } from "./providers.js";
import { element, notify, showScreen } from "./screens.js";
import { setUpSecondFactor, showSecondFactor } from "./second_factor.js";
import { setUpSessions, showSessions } from "./sessions.js";
import { setUpSigningIn, showSignIn } from "./signing_in.js";
import { closePasswordForm, setUpYourAccount, showResetIfAsked } from "./your_account.js";

async function reload() {
  const { body } = await callSignedIn("GET", "/auth/me");
  element("email").textContent = body.user.email;
  showAddress(body.user);
  showSecondFactor(body.user.twoFA);
  await Promise.all([showSessions(), showLinks()]);
}

async function enter() {
  try {
    await reload();
    showScreen("home");
  } catch (error) {
    if (isSignedIn()) showTrouble(error);
  }
}

function showTrouble(error) {
  element("trouble-message").textContent = error.message;
  showScreen("trouble");
}

const continueWith = setUpSigningIn(enter);
setUpSecondFactor(reload);
setUpSessions(leave);
setUpYourAccount(reload, leave);
setUpMail(enter, leave);
setUpDialogs();

element("try-again").addEventListener("click", enter);
onPress(element("sign-out"), element("notice"), async () => {
  await signOut();
  leave("You are signed out.");
});
window.addEventListener("expired", () => leave("Your session has ended. Sign in again."));
window.addEventListener("signedout", () => leave("You are signed out."));

function leave(text) {
  forget();
  dismissQuestion();
  showSecondFactor({ enabled: false, recoveryCodesLeft: 0 }); // no secret stays behind
  element("sessions").replaceChildren();
  element("links-list").replaceChildren();
  element("email").textContent = "";
  closePasswordForm();
  showAddress();
  showSignIn();
  notify(text);
}

setUpProviders();
const back = await welcomeBack();
if (back?.body.accessToken || back?.status === 202) {
  await continueWith(back);
} else if (!showResetIfAsked() && !showLinkIfAsked()) {
  if (!isSignedIn()) await adoptFromOtherTab();
  if (isSignedIn()) await enter();
  else showSignIn({ focus: false });
  if (back) notify("The provider is linked to your account.");
}
