// Signing in at OpenID providers, and linking them to the account. Nothing is seen of it where there
// are none.

import { call, callSignedIn } from "./api.js";
import { isSure } from "./dialogs.js";
import { onPress } from "./forms.js";
import { element, notify } from "./screens.js";

const KEPT = "provider"; // in sessionStorage, from when somebody is sent away until they are back
const BACK = /^#(grant|error)=([\w-]+)$/;
const ERRORS = {
  access_denied: "You have not agreed there, so nothing was changed.",
  provider_unavailable: "The provider cannot be reached at the moment. Try again.",
  provider_error: "The provider gave an answer that makes no sense here.",
};
const STALE = "This sign-in was not begun in this tab. Try again.";

let providers = [];
let known = null;

// Reads which providers there are. A page without them, or one that cannot be told, has no buttons.
export function setUpProviders() {
  known = show();
}

async function show() {
  try {
    ({ providers } = (await call("GET", "/auth/oauth")).body);
  } catch {
    return;
  }
  if (!providers.length) return;
  for (const place of document.querySelectorAll(".providers")) {
    const line = errorLine();
    const buttons = providers.map(({ id, name }) =>
      button(`Continue with ${name}`, line, () => leaveFor(call, id, "start")),
    );
    place.replaceChildren(...buttons, line);
    place.hidden = false;
  }
}

// Whoever comes back from a provider: what they bring goes out of the address at once. Answers what
// complete does, or null where nobody has come back, or nothing came of it.
export async function welcomeBack() {
  const [, what, value] = BACK.exec(location.hash) ?? [];
  if (!what) return null;
  history.replaceState(null, "", location.pathname);
  const verifier = sessionStorage.getItem(KEPT);
  sessionStorage.removeItem(KEPT);
  try {
    if (what === "error") throw new Error(ERRORS[value] ?? ERRORS.provider_error);
    if (!verifier) throw new Error(STALE);
    return await call("POST", "/auth/oauth/complete", { grant: value, codeVerifier: verifier });
  } catch (error) {
    notify(error.message);
    return null;
  }
}

// The card of somebody who is signed in: each provider, and whether it is linked.
export async function showLinks() {
  await known;
  element("links").hidden = !providers.length;
  if (!providers.length) return;
  const { links } = (await callSignedIn("GET", "/auth/oauth/links")).body;
  const linked = new Set(links.map(({ provider }) => provider));
  element("links-list").replaceChildren(...providers.map((each) => row(each, linked.has(each.id))));
}

function row({ id, name }, isLinked) {
  const item = document.createElement("li");
  const text = document.createElement("p");
  text.textContent = name;
  const act = isLinked ? () => unlink(id, name) : () => leaveFor(callSignedIn, id, "link");
  const action = button(isLinked ? "Unlink" : "Link", element("links-error"), act);
  action.ariaLabel = `${action.textContent} ${name}`;
  action.classList.add("small");
  if (isLinked) action.classList.add("danger");
  item.append(text, action);
  return item;
}

async function unlink(id, name) {
  const sure = await isSure({
    heading: `Unlink ${name}?`,
    text: "It will not sign you in any more. You stay signed in where you are.",
    action: "Unlink",
  });
  if (!sure) return;
  await callSignedIn("DELETE", `/auth/oauth/${id}/link`);
  await showLinks();
  element("links-heading").focus();
  notify(`${name} is unlinked.`);
}

// The verifier stays in this tab (RFC 7636): a grant is good for nobody else.
async function leaveFor(ask, id, how) {
  const verifier = base64url(crypto.getRandomValues(new Uint8Array(33)));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const redirectUri = location.origin + location.pathname;
  const codeChallenge = base64url(new Uint8Array(digest));
  const { body } = await ask("POST", `/auth/oauth/${id}/${how}`, { redirectUri, codeChallenge });
  sessionStorage.setItem(KEPT, verifier);
  location.assign(body.authorizationUrl);
}

const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

function button(text, line, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "quiet";
  made.textContent = text;
  onPress(made, line, act);
  return made;
}

function errorLine() {
  const line = document.createElement("p");
  line.className = "error";
  line.role = "alert";
  line.tabIndex = -1;
  return line;
}
