// Talks to the service and keeps the tokens; nothing else on the page sees one.

// The access token lives in memory only. The refresh token is in sessionStorage: it survives a
// reload, belongs to this tab, and is gone when the tab is closed. Other sites cannot read it, and a
// script of theirs cannot get in here: the Content-Security-Policy lets only our own files run.
const STORED = "refreshToken";
let accessToken = null;
let renewal = null;

// A tab that is duplicated takes a copy of sessionStorage along. What one tab renews, it tells those
// that hold the same token: spent again later, it would count as stolen and end the session.
const tabs = new BroadcastChannel("account");
tabs.onmessage = ({ data: { spent, tokens } }) => {
  if (sessionStorage.getItem(STORED) === spent) keep(tokens);
};

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
  forget();
}

async function authorized(request) {
  const token = accessToken ?? (await renewed());
  const answer = await request(token);
  if (answer.status !== 401) return answer;
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
    keep(tokens);
    tabs.postMessage({ spent, tokens });
    return accessToken;
  } catch (error) {
    if (error.status === 401) {
      forget();
      error.isTold = true;
      window.dispatchEvent(new Event("signedout"));
    }
    throw error;
  }
}

async function send(method, path, body, token) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  const options = { method, headers, cache: "no-store", credentials: "omit", redirect: "error" };
  try {
    return await fetch(path, body ? { ...options, body: JSON.stringify(body) } : options);
  } catch {
    throw new ApiError(0, UNREACHABLE);
  }
}

function sendForSvg(body, token) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/account/qr");
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
