// Turning the second factor on and off, and its recovery codes.

import { callSignedIn, qrCode } from "./api.js";
import { expectSecondFactor } from "./dialogs.js";
import { onPress, onSubmit, reset, save, withoutSpaces } from "./forms.js";
import { copy, element, notify, showPart } from "./screens.js";

let enrolment = null;
let reloadAccount;
let codes = [];

// `reload()` reads the account anew and calls `showSecondFactor` with it.
export function setUpSecondFactor(reload) {
  reloadAccount = reload;
  onPress(element("enable"), element("enable-error"), enrol);
  onSubmit(element("verify"), verify);
  element("cancel-enrol").addEventListener("click", () => {
    stopEnrolling();
    showPart("factor-off");
    element("enable").focus();
  });

  onSubmit(element("renew-codes"), async ({ code, endOtherSessions }) => {
    const body = { code: withoutSpaces(code), endOtherSessions };
    const answer = await callSignedIn("POST", "/auth/2fa/recovery-codes", body);
    showCodes(answer.body.recoveryCodes, "Your new recovery codes");
  });
  onSubmit(element("disable"), async ({ code, endOtherSessions }) => {
    const body = { code: withoutSpaces(code), endOtherSessions };
    await callSignedIn("POST", "/auth/2fa/disable", body);
    await reload();
    element("second-factor-heading").focus();
    notify("Two-factor authentication is off.");
  });

  element("copy-secret").addEventListener("click", () =>
    copy(enrolment.secret, element("secret"), "Key"),
  );
  element("copy-codes").addEventListener("click", () =>
    copy(codes.join("\n"), element("codes"), "Recovery codes"),
  );
  element("download-codes").addEventListener("click", download);
  onPress(element("codes-saved"), element("codes-error"), async () => {
    await reload();
    element("second-factor-heading").focus();
  });
}

// Shows the card as the account is. Whatever secret was shown before is gone from the page.
export function showSecondFactor({ enabled, recoveryCodesLeft }) {
  stopEnrolling();
  codes = [];
  element("codes").replaceChildren();
  showState(enabled);
  for (const id of ["renew-codes", "disable"]) {
    reset(element(id));
    element(id).closest("details").open = false;
  }
  const plural = recoveryCodesLeft === 1 ? "code" : "codes";
  element("codes-left").textContent = `${recoveryCodesLeft || "no"} recovery ${plural}`;
  showPart(enabled ? "factor-on" : "factor-off");
}

function showState(enabled) {
  const badge = element("second-factor-state");
  badge.textContent = enabled ? "On" : "Off";
  badge.classList.toggle("on", enabled);
  expectSecondFactor(enabled);
}

async function enrol() {
  const { body } = await callSignedIn("POST", "/auth/2fa/enable");
  const svg = await qrCode(body.otpauthUrl);
  const secret = new URL(body.otpauthUrl).searchParams.get("secret");
  enrolment = { tempSecretId: body.tempSecretId, secret };
  // Whole pixels for each module, as long as there is room: scanners like edges that are sharp.
  svg.setAttribute("width", 4 * svg.viewBox.baseVal.width);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "QR code for your authenticator app");
  element("qr").replaceChildren(document.importNode(svg, true));
  element("secret").textContent = secret.match(/.{1,4}/g).join(" ");
  element("open-app").href = body.otpauthUrl;
  const until = element("enrol-until");
  until.dateTime = body.expiresAt;
  until.textContent = new Date(body.expiresAt).toLocaleTimeString([], { timeStyle: "short" });
  reset(element("verify"));
  showPart("factor-enrol");
  element("enrol-heading").focus();
}

async function verify({ code, endOtherSessions }) {
  const { tempSecretId } = enrolment;
  const body = { tempSecretId, code: withoutSpaces(code), endOtherSessions };
  let answer;
  try {
    answer = await callSignedIn("POST", "/auth/2fa/verify", body);
  } catch (error) {
    if (error.code !== "already_enabled") throw error;
    return leadToNewCodes();
  }
  stopEnrolling();
  showState(true);
  showCodes(answer.body.recoveryCodes, "It is on. Now keep your recovery codes");
}

// An earlier call turned it on, but its answer was lost: nobody has seen the recovery codes.
async function leadToNewCodes() {
  await reloadAccount();
  element("renew-codes").closest("details").open = true;
  element("renew-codes-code").focus();
  notify("It is on already. Make new recovery codes here if you have not seen them.");
}

function stopEnrolling() {
  enrolment = null;
  element("qr").replaceChildren();
  element("secret").textContent = "";
  element("open-app").removeAttribute("href");
}

function showCodes(fresh, heading) {
  codes = fresh;
  element("codes-heading").textContent = heading;
  const items = codes.map((code) => {
    const item = document.createElement("li");
    item.append(document.createElement("code"));
    item.firstChild.textContent = code;
    return item;
  });
  element("codes").replaceChildren(...items);
  showPart("factor-codes");
  element("codes-heading").focus();
}

function download() {
  const head = `Recovery codes of ${element("email").textContent} for ${location.host}`;
  const text = `${head}\nMade ${new Date().toLocaleString()}. Each works once.\n\n${codes.join("\n")}\n`;
  save("recovery-codes.txt", "text/plain", text);
  notify("Recovery codes saved as a file.");
}
