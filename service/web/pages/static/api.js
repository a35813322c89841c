// What the page asks of the service. The client keeps the tokens; nothing else on the page sees one.

// The access token lives in memory only. The refresh token is in sessionStorage: it survives a
// reload and is gone when the last tab is closed. Other sites cannot read it, and a script of theirs
// cannot get in here: the Content-Security-Policy lets only our own files run. All tabs share one
// session.
import { AuthClient, AuthError } from "./client.js";

let askForProof = null;

const client = new AuthClient({
  url: new URL("..", import.meta.url), // relative to this file: the service may be under a path
  onProofNeeded: () => askForProof(),
});
for (const event of ["expired", "signedout"]) {
  client.addEventListener(event, () => window.dispatchEvent(new Event(event)));
}

const STRANGE = { code: "strange", message: "The service gave an answer that makes no sense here." };

export const ApiError = AuthError;
export const isSignedIn = () => client.isSignedIn;
export const adoptFromOtherTab = () => client.resume();
export const keep = (tokens) => client.keep(tokens);
export const forget = () => client.forget();
export const replace = (tokens) => client.replace(tokens);
export const forgetEverywhere = () => client.forgetEverywhere();
export const signOut = () => client.logOut();
export const reauthenticate = (proof) => client.reauthenticate(proof);

// Both answer {status, body}, and throw ApiError for every error.
export const call = (...request) => told(client.call(...request));
export const callSignedIn = (...request) => told(client.callSignedIn(...request));

// `ask(factorNeeded)` lets the person prove anew who they are; it throws where they do not want to.
export function onProofNeeded(ask) {
  askForProof = ask;
}

// The QR code of an otpauth URL, as a parsed SVG document. XMLHttpRequest, because it parses without
// handing text to a parser here, which the policy (Trusted Types) forbids.
export async function qrCode(otpauthUrl) {
  const answer = await client.authorized((token) => sendForSvg({ otpauthUrl }, token));
  const root = answer.responseXML?.documentElement;
  if (answer.status !== 200 || root?.localName !== "svg") throw new ApiError(answer.status, STRANGE);
  return root;
}

function sendForSvg(body, token) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", client.address("/account/qr"));
    request.responseType = "document";
    request.setRequestHeader("Content-Type", "application/json");
    request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.onload = () => resolve(request);
    request.onerror = () => reject(new ApiError(0, STRANGE));
    request.send(JSON.stringify(body));
  });
}

// Says how long to wait, where that is all there is to say.
async function told(calling) {
  try {
    return await calling;
  } catch (error) {
    if (error.code === "rate_limited") error.message = delayed(error.retryAfter ?? 60);
    throw error;
  }
}

function delayed(seconds) {
  const wait = seconds > 90 ? `${Math.ceil(seconds / 60)} minutes` : `${seconds} seconds`;
  return `Too many attempts. Try again in ${wait}.`;
}
