// Changing the password, taking one's data along, and deleting the account.

import { call, callSignedIn, forgetEverywhere, replace } from "./api.js";
import { isSure } from "./dialogs.js";
import { onPress, onSubmit, reset, save } from "./forms.js";
import { element, notify, showScreen } from "./screens.js";

const RESET = /^#reset=(osm_[\w-]+)$/;

let resetToken = null;

// `reload()` reads the account anew; `leave(text)` shows that nobody is signed in any more.
export function setUpYourAccount(reload, leave) {
  onSubmit(element("change-password"), async (values) => {
    const { body } = await callSignedIn("POST", "/auth/password/change", values);
    replace(body);
    await reload();
    closePasswordForm();
    element("password-heading").focus();
    notify("Your password is changed. All other sessions have ended.");
  });

  onPress(element("download-data"), element("data-error"), async () => {
    const { body } = await callSignedIn("GET", "/auth/account/export");
    save("account.json", "application/json", `${JSON.stringify(body, null, 2)}\n`);
    notify("Your data is saved as a file.");
  });

  onPress(element("delete-account"), element("data-error"), async () => {
    const sure = await isSure({
      heading: "Delete your account?",
      text: "Account, second factor and all sessions will be gone. Nobody can bring them back.",
      action: "Delete account",
    });
    if (!sure) return;
    await callSignedIn("POST", "/auth/account/delete");
    forgetEverywhere();
    leave("Your account is deleted.");
  });

  onSubmit(element("reset-password").querySelector("form"), async ({ password }) => {
    await call("POST", "/auth/password/reset", { token: resetToken, password });
    forgetEverywhere();
    leave("Your password is set. Sign in with it.");
  });
}

export function closePasswordForm() {
  reset(element("change-password"));
  element("change-password").closest("details").open = false;
}

// A link for a forgotten password leads here. The token goes out of the address at once.
export function showResetIfAsked() {
  resetToken = RESET.exec(location.hash)?.[1] ?? null;
  if (!resetToken) return false;
  history.replaceState(null, "", location.pathname);
  reset(element("reset-password").querySelector("form"));
  showScreen("reset-password");
  return true;
}
