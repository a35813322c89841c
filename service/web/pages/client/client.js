// A client of OpenShow Auth for browsers and Node. It needs nothing else.
//
// No locks between tabs: the service gives racing refreshes of one token the same successor.

const TRIES = 3;
const LONGEST_WAIT = 3_000; // ms; all tries of a refresh are within the service's grace of 10 s
const EARLY = 5_000; // ms before its end at which an access token is renewed
const OTHER_TABS_ANSWER_WITHIN = 200; // ms
const UNREACHABLE = {
  code: "unreachable",
  message: "The service cannot be reached. Check your connection and try again.",
};
const OVER = { code: "invalid_refresh_token", message: "Somebody else has signed in, or out." };
const STRANGE = { code: "strange", message: "The service gave an answer that makes no sense here." };

// `status` is 0 when no answer came. `field`: what the message is about, if it is one field.
// `isTold`: the session is over, and whoever listens knows. `retryAfter`: seconds.
export class AuthError extends Error {
  constructor(status, { code, message, details }, retryAfter) {
    super(message);
    this.name = "AuthError";
    this.status = status;
    this.code = code;
    this.field = details?.[0]?.field;
    this.retryAfter = Number(retryAfter) || undefined;
  }
}

// Events: `expired` when the session turns out to be over, `signedout` when another tab ended it.
export class AuthClient extends EventTarget {
  #accessToken = null;
  #goodUntil = 0;
  #sessionId = null; // what tabs know a session by whose refresh token is a cookie
  #renewal = null;
  #adopt = null; // while this tab asks the others
  #options;
  #tabs;

  constructor(options) {
    super();
    const base = new URL(`${options.url}`.replace(/\/*$/, "/"), globalThis.location?.href);
    const resources = [base.origin, globalThis.location?.origin, ...(options.resources ?? [])];
    const fetch = (...call) => globalThis.fetch(...call);
    const storage = globalThis.document ? sessionStorage : memory();
    this.#options = { fetch, storage, key: "refreshToken", ...options, base, resources };
    if (!globalThis.document) return;
    this.#tabs = new BroadcastChannel(`openshow-auth ${base}`);
    this.#tabs.onmessage = ({ data }) => this.#hear(data);
  }

  get isSignedIn() {
    return this.#held() !== null;
  }

  // Finds the session that this browser has: of the cookie, or of another tab.
  async resume() {
    if (this.#byCookie) {
      await this.refresh().catch((error) => {
        if (error.status !== 401) throw error;
      });
    } else if (!this.isSignedIn && this.#tabs) {
      const offered = await new Promise((resolve) => {
        this.#adopt = resolve;
        setTimeout(resolve, OTHER_TABS_ANSWER_WITHIN);
        this.#tabs.postMessage({ wanted: true });
      });
      this.#adopt = null;
      if (offered) this.keep(offered);
    }
    return this.isSignedIn;
  }

  signUp = (credentials) => this.#signIn("/auth/signup", credentials);
  // The user and tokens, or a challenge: `{challengeId, methods, expiresAt}`.
  logIn = (credentials) => this.#signIn("/auth/login", credentials);
  secondStep = (answer) => this.#signIn("/auth/login/2fa", answer);

  async logOut() {
    try {
      await this.callSignedIn("POST", "/auth/logout", this.#withToken());
    } catch (error) {
      if (error.status !== 401 && error.code !== "session_not_found") throw error; // else it is over
    }
    this.forgetEverywhere();
  }

  // Proves by `{password}` or `{code}` that it is still the same person.
  async reauthenticate(proof) {
    const request = (token) =>
      this.#send("POST", "/auth/reauthenticate", { ...proof, ...this.#withToken() }, token);
    this.replace((await read(await this.#renewing(request))).body);
  }

  // Calls without a token. Answers `{status, body}`; throws `AuthError` for every error.
  async call(method, path, body) {
    return read(await this.#send(method, path, body));
  }

  // Calls with the access token, renewed when it is missing or over.
  async callSignedIn(method, path, body) {
    return read(await this.authorized((token) => this.#send(method, path, body, token)));
  }

  // As `fetch`, with the access token, to the service, this page's origin and `resources` only.
  async fetch(input, init) {
    const request = new Request(input, init);
    const { origin } = new URL(request.url);
    if (!this.#options.resources.includes(origin)) {
      throw new TypeError(`${origin} is not one of resources: it would get the access token.`);
    }
    return this.authorized((token) => {
      const authorized = request.clone();
      authorized.headers.set("Authorization", `Bearer ${token}`);
      return this.#options.fetch(authorized);
    });
  }

  // Calls `request(token)`, and again where the token was over or a proof was asked for.
  async authorized(request) {
    const answer = await this.#renewing(request);
    const { onProofNeeded } = this.#options;
    if (!wantsProof(answer) || !onProofNeeded) return answer;
    await onProofNeeded();
    return this.#renewing(request);
  }

  // The new access token. However many calls find the old one over, it is renewed once.
  refresh() {
    this.#renewal ??= this.#renew().finally(() => {
      this.#renewal = null;
    });
    return this.#renewal;
  }

  // Keeps a token pair, as the service answers it.
  keep(tokens) {
    this.#accessToken = tokens.accessToken;
    this.#goodUntil = Date.now() + (tokens.expiresIn ?? Infinity) * 1_000 - EARLY;
    this.#sessionId = tokens.sessionId ?? this.#sessionId;
    if (tokens.refreshToken) this.#options.storage.setItem(this.#options.key, tokens.refreshToken);
  }

  // Keeps the tokens that this session goes on with, here and in the other tabs.
  replace(tokens) {
    const spent = this.#held();
    this.keep(tokens);
    if (!this.#byCookie) this.#tabs?.postMessage({ spent, tokens });
  }

  forget() {
    this.#accessToken = this.#sessionId = null;
    this.#options.storage.removeItem(this.#options.key);
  }

  // The session is over: forgets it, here and in the other tabs.
  forgetEverywhere() {
    this.#tabs?.postMessage({ over: this.#held() });
    this.forget();
  }

  close() {
    this.#tabs?.close();
  }

  get #byCookie() {
    return this.#options.mode === "cookie";
  }

  #held() {
    const { storage, key } = this.#options;
    return this.#byCookie ? this.#sessionId : storage.getItem(key);
  }

  #withToken() {
    const { resource } = this.#options;
    return this.#byCookie ? { resource } : { resource, refreshToken: this.#held() ?? "" };
  }

  #hear({ wanted, offered, spent, tokens, over }) {
    const held = this.#held();
    if (wanted && held && !this.#byCookie) {
      this.#tabs.postMessage({ offered: { accessToken: this.#accessToken, refreshToken: held } });
    } else if (offered && this.#adopt) this.#adopt(offered);
    else if (tokens && held === spent) this.keep(tokens);
    else if (over && held === over) this.#end("signedout");
  }

  async #signIn(path, values) {
    const { resource } = this.#options;
    const { status, body } = await this.call("POST", path, { resource, ...values });
    if (status !== 202) this.keep(body);
    return body;
  }

  async #renewing(request) {
    const held = this.#accessToken;
    const isGood = held && Date.now() < this.#goodUntil;
    const token = isGood ? held : await this.refresh();
    const answer = await request(token);
    if (answer.status !== 401 || wantsProof(answer)) return answer;
    // Whoever noticed first has renewed it already.
    const other = this.#accessToken;
    return request(other && other !== token ? other : await this.refresh());
  }

  async #renew() {
    const held = this.#held();
    const subject = subjectOf(this.#accessToken);
    try {
      const { body } = await this.call("POST", "/auth/refresh", this.#withToken());
      // Somebody may have signed in or out meanwhile, and the cookie may be another person's since
      // they have signed in in another tab: nobody goes on in their name.
      const isStill = this.#held() === held;
      const token = isStill ? body.accessToken : this.#accessToken;
      if (!token || (subject && subjectOf(token) !== subject)) throw new AuthError(401, OVER);
      if (isStill) this.replace(body);
      return token;
    } catch (error) {
      if (error.status === 401) {
        error.isTold = true;
        if (held !== null && this.#held() === held) this.#end("expired");
      }
      throw error;
    }
  }

  #end(how) {
    this.forget();
    this.dispatchEvent(new Event(how));
  }

  // Sends it again only where that changes nothing: what is read, a refresh (its answer may have
  // been lost: the same successor comes again) and a logout.
  async #send(method, path, body, token) {
    const headers = { "Content-Type": "application/json" };
    if (token) headers.Authorization = `Bearer ${token}`;
    if (this.#byCookie) headers["X-Session-Mode"] = "cookie";
    const credentials = this.#byCookie ? "include" : "omit";
    const options = { method, headers, credentials, cache: "no-store", redirect: "error" };
    if (body) options.body = JSON.stringify(body);
    const isSafe = method === "GET" || ["/auth/refresh", "/auth/logout"].includes(path);
    for (let tries = isSafe ? TRIES : 1; ; ) {
      tries -= 1;
      const answer = await this.#options.fetch(this.address(path), options).catch(() => null);
      if (answer && (answer.status !== 503 || !tries)) return answer;
      if (!tries) throw new AuthError(0, UNREACHABLE);
      const wait = Number(answer?.headers.get("Retry-After")) * 1_000 || 300;
      if (wait > LONGEST_WAIT) return answer;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  // Where a path of the service is: the service itself may be under one.
  address(path) {
    return new URL(`.${path}`, this.#options.base);
  }
}

// Whose an access token is, as far as it says so.
function subjectOf(token) {
  try {
    return JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))).sub;
  } catch {
    return null;
  }
}

const wantsProof = (answer) =>
  answer.status === 401 &&
  answer.headers?.get("WWW-Authenticate")?.includes("insufficient_user_authentication");

async function read(answer) {
  const body = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (answer.ok) return { status: answer.status, body };
  throw new AuthError(answer.status, body?.error ?? STRANGE, answer.headers.get("Retry-After"));
}

function memory() {
  const kept = new Map();
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, value),
    removeItem: (key) => kept.delete(key),
  };
}
