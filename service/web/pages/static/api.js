// Talks to the service and keeps the tokens; nothing else on the page sees one.

// The access token lives in memory only. The refresh token is in sessionStorage: it survives a
// reload and is gone when the last tab is closed. Other sites cannot read it, and a script of theirs
// cannot get in here: the Content-Security-Policy lets only our own files run.
const STORED = "refreshToken";
const OTHER_TABS_ANSWER_WITHIN = 200; // ms
let accessToken = null;
let renewal = null;
let adopt = null; // while this tab asks the others
let askForProof = null;

// All tabs share one session. A new one asks the others for it; what one renews it tells the rest,
// as a token that is spent again later would count as stolen; and one that signs out ends it for all.
const tabs = new BroadcastChannel("account");
tabs.onmessage = ({ data: { wanted, offered, spent, tokens, over } }) => {
  const held = sessionStorage.getItem(STORED);
  if (wanted && held) tabs.postMessage({ offered: { accessToken, refreshToken: held } });
  else if (offered && adopt) adopt(offered);
  else if (tokens && held === spent) keep(tokens);
  else if (over && held === over) end("signedout");
};

// Takes over the session of another tab of this browser, if there is one.
export async function adoptFromOtherTab() {
  const offered = await new Promise((resolve) => {
    adopt = resolve;
    setTimeout(resolve, OTHER_TABS_ANSWER_WITHIN);
    tabs.postMessage({ wanted: true });
  });
  adopt = null;
  if (offered) keep(offered);
}

// `field` is the one that the message is about, if any; `status` is 0 when no answer came. `isTold`
// when the page has reacted already: the session is over.
export class ApiError extends Error {
  constructor(status, { code, message, details }, retryAfter) {
    super(code === "rate_limited" ? delayed(retryAfter) : message);
    this.status = status;
    this.code = code;
    this.field = details?.[0]?.field;
  }
}

const UNREACHABLE = {
  code: "unreachable",
  message: "The service cannot be reached. Check your connection and try again.",
};
const STRANGE = { code: "strange", message: "The service gave an answer that makes no sense here." };

export const isSignedIn = () => sessionStorage.getItem(STORED) !== null;

// Keeps the tokens of a token pair, as the API answers it.
export function keep(tokens) {
  accessToken = tokens.accessToken;
  sessionStorage.setItem(STORED, tokens.refreshToken);
}

export function forget() {
  accessToken = null;
  sessionStorage.removeItem(STORED);
}

// Keeps the tokens that this session goes on with, here and in the other tabs.
export function replace(tokens) {
  const spent = sessionStorage.getItem(STORED);
  keep(tokens);
  tabs.postMessage({ spent, tokens });
}

// The session is over: forgets it, here and in the other tabs.
export function forgetEverywhere() {
  tabs.postMessage({ over: sessionStorage.getItem(STORED) });
  forget();
}

// Calls without a token. Answers {status, body}; throws ApiError for every error.
export const call = async (method, path, body) => read(await send(method, path, body));

// Calls with the access token, renewed when it is missing or over.
export const callSignedIn = async (method, path, body) =>
  read(await authorized((token) => send(method, path, body, token)));

// The QR code of an otpauth URL, as a parsed SVG document. XMLHttpRequest, because it parses without
// handing text to a parser here, which the policy (Trusted Types) forbids.
export async function qrCode(otpauthUrl) {
  const answer = await authorized((token) => sendForSvg({ otpauthUrl }, token));
  const root = answer.responseXML?.documentElement;
  if (answer.status !== 200 || root?.localName !== "svg") throw new ApiError(answer.status, STRANGE);
  return root;
}

export async function signOut() {
  const body = { refreshToken: sessionStorage.getItem(STORED) };
  try {
    await callSignedIn("POST", "/auth/logout", body);
  } catch (error) {
    const hasEnded = error.status === 401 || error.code === "session_not_found";
    if (!hasEnded) throw error;
  }
  forgetEverywhere();
}

// `ask(factorNeeded)` lets the person prove anew who they are; it throws where they do not want to.
export function onProofNeeded(ask) {
  askForProof = ask;
}

// Proves by `{password}` or `{code}` that it is still the same person.
export async function reauthenticate(proof) {
  const request = (token) => {
    const refreshToken = sessionStorage.getItem(STORED);
    return send("POST", "/auth/reauthenticate", { ...proof, refreshToken }, token);
  };
  replace((await read(await renewing(request))).body);
}

async function authorized(request) {
  const answer = await renewing(request);
  if (!wantsProof(answer)) return answer;
  await askForProof();
  return renewing(request);
}

const wantsProof = (answer) =>
  answer.status === 401 &&
  answer.headers?.get("WWW-Authenticate")?.includes("insufficient_user_authentication");

async function renewing(request) {
  const token = accessToken ?? (await renewed());
  const answer = await request(token);
  if (answer.status !== 401 || wantsProof(answer)) return answer;
  // Whoever noticed first has renewed it already.
  return request(accessToken && accessToken !== token ? accessToken : await renewed());
}

// The new access token. However many calls find the old one over, it is renewed once.
function renewed() {
  renewal ??= renew().finally(() => {
    renewal = null;
  });
  return renewal;
}

async function renew() {
  const spent = sessionStorage.getItem(STORED);
  try {
    const { body: tokens } = await call("POST", "/auth/refresh", { refreshToken: spent ?? "" });
    replace(tokens);
    return accessToken;
  } catch (error) {
    if (error.status === 401) {
      error.isTold = true;
      end("expired");
    }
    throw error;
  }
}

function end(how) {
  forget();
  window.dispatchEvent(new Event(how));
}

// Relative to this file: the service may be under a path.
const address = (path) => new URL(`..${path}`, import.meta.url);

async function send(method, path, body, token) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const options = { method, headers, cache: "no-store", credentials: "omit", redirect: "error" };
  try {
    return await fetch(address(path), body ? { ...options, body: JSON.stringify(body) } : options);
  } catch {
    throw new ApiError(0, UNREACHABLE);
  }
}

function sendForSvg(body, token) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", address("/account/qr"));
    request.responseType = "document";
    request.setRequestHeader("Content-Type", "application/json");
    request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.onload = () => resolve(request);
    request.onerror = () => reject(new ApiError(0, UNREACHABLE));
    request.send(JSON.stringify(body));
  });
}

async function read(answer) {
  const body = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (answer.ok) return { status: answer.status, body };
  throw new ApiError(answer.status, body?.error ?? STRANGE, answer.headers.get("Retry-After"));
}

function delayed(retryAfter) {
  const seconds = Number(retryAfter) || 60;
  const wait = seconds > 90 ? `${Math.ceil(seconds / 60)} minutes` : `${seconds} seconds`;
  return `Too many attempts. Try again in ${wait}.`;
}
