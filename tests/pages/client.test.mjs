// The client in Node, against the service at SERVICE_URL; tests/pages/test_client.py runs it.

import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { test } from "node:test";

import { AuthClient, AuthError } from "../../service/web/pages/client/client.js";

const url = process.env.SERVICE_URL;
const password = "tulip anvil harbour nine";

// A client that notes what it sends; `lose` says of which answers nothing arrives.
function newClient(options = {}) {
  const sent = [];
  const fetch = async (input, init) => {
    const path = new URL(input.url ?? input).pathname.replace(/^\/id/, "");
    sent.push(path);
    const answer = await globalThis.fetch(input, init);
    if (options.lose?.(path, sent.filter((other) => other === path).length)) throw new TypeError();
    return answer;
  };
  return { sent, client: new AuthClient({ url, fetch, ...options }) };
}

const credentials = () => ({ email: `${randomBytes(8).toString("hex")}@example.com`, password });

function totp(otpauthUrl, steps = 0) {
  const secret = new URL(otpauthUrl).searchParams.get("secret");
  const bits = [...secret]
    .map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0"))
    .join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const digest = createHmac("sha1", key).update(counter).digest();
  const at = digest.at(-1) & 15;
  return String((digest.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

test("signs up, asks, logs out, and is out", async () => {
  const { client } = newClient();
  const { user } = await client.signUp(credentials());
  const { status, body } = await client.callSignedIn("GET", "/auth/me");
  assert.deepEqual([status, body.user.id, client.isSignedIn], [200, user.id, true]);
  await client.logOut();
  assert.equal(client.isSignedIn, false);
  await assert.rejects(client.callSignedIn("GET", "/auth/me"), { status: 401 });
});

test("says whom its access tokens are for, whenever it asks for one", async () => {
  const person = credentials();
  const { client, sent } = newClient({ resource: "openshow" });
  const { accessToken } = await client.signUp(person);
  const claims = JSON.parse(Buffer.from(accessToken.split(".")[1], "base64url"));
  assert.equal(claims.aud, "openshow");
  await client.refresh();
  await client.reauthenticate({ password });
  assert.deepEqual(sent, ["/auth/signup", "/auth/refresh", "/auth/reauthenticate"]);
  const elsewhere = newClient({ resource: "https://elsewhere.example" }).client;
  const refused = { status: 400, code: "invalid_target" };
  await assert.rejects(elsewhere.signUp(credentials()), refused);
  await assert.rejects(elsewhere.logIn(person), refused);
  await assert.rejects(elsewhere.secondStep({ challengeId: "x", code: "0" }), refused);
  await elsewhere.logIn({ ...person, resource: "openshow" });
  await assert.rejects(elsewhere.refresh(), refused);
  await assert.rejects(elsewhere.reauthenticate({ password }), refused);
  await elsewhere.logOut();
});

test("goes through the second step, and proves anew who it is", async () => {
  const person = credentials();
  const { client } = newClient();
  await client.signUp(person);
  const { body } = await client.callSignedIn("POST", "/auth/2fa/enable");
  const { tempSecretId, otpauthUrl } = body;
  const confirmation = { tempSecretId, code: totp(otpauthUrl, -1) };
  const { body: enabled } = await client.callSignedIn("POST", "/auth/2fa/verify", confirmation);
  // This session has proved no second factor, and there is nobody to ask.
  await assert.rejects(client.callSignedIn("POST", "/auth/account/delete"), {
    code: "insufficient_user_authentication",
  });
  const storage = new Map();
  const kept = {
    getItem: (key) => storage.get(key) ?? null,
    setItem: (key, value) => storage.set(key, value),
    removeItem: (key) => storage.delete(key),
  };
  const { client: second } = newClient({ storage: kept });
  const { challengeId, methods } = await second.logIn(person);
  assert.deepEqual([methods, second.isSignedIn], [["totp", "recovery_code"], false]);
  const { user } = await second.secondStep({ challengeId, code: totp(otpauthUrl) });
  assert.equal(user.twoFA.enabled, true);
  const { client: asked } = newClient({
    storage: kept,
    onProofNeeded: () => client.reauthenticate({ code: enabled.recoveryCodes[0] }),
  });
  assert.equal((await asked.callSignedIn("GET", "/auth/me")).body.user.email, person.email);
  await second.reauthenticate({ code: enabled.recoveryCodes[1] });
  assert.equal((await second.callSignedIn("POST", "/auth/account/delete")).status, 204);
});

test("asks for a proof once, and goes on", async () => {
  const person = credentials();
  let asked = 0;
  const { client } = newClient({
    onProofNeeded: async () => {
      asked += 1;
      await client.reauthenticate({ code: codes[0] });
    },
  });
  await client.signUp(person);
  const { body } = await client.callSignedIn("POST", "/auth/2fa/enable");
  const confirmation = { tempSecretId: body.tempSecretId, code: totp(body.otpauthUrl) };
  const { body: enabled } = await client.callSignedIn("POST", "/auth/2fa/verify", confirmation);
  const codes = enabled.recoveryCodes;
  assert.equal((await client.callSignedIn("POST", "/auth/account/delete")).status, 204);
  assert.equal(asked, 1);
});

test("renews an access token once, however many find it over", async () => {
  const { client, sent } = newClient();
  await client.signUp(credentials());
  client.keep({ accessToken: "over", expiresIn: 900 });
  const calls = Array.from({ length: 8 }, () => client.callSignedIn("GET", "/auth/me"));
  assert.deepEqual(new Set((await Promise.all(calls)).map(({ status }) => status)), new Set([200]));
  assert.equal(sent.filter((path) => path === "/auth/refresh").length, 1);
});

test("asks again where that is safe, after an answer that was lost", async () => {
  const lose = (path, times) => times <= 2 && path !== "/auth/signup";
  const { client, sent } = newClient({ lose });
  await client.signUp(credentials());
  const times = (path) => sent.filter((other) => other === path).length;
  await client.refresh(); // spent by the first try: the others get the same successor
  await client.refresh();
  assert.equal((await client.callSignedIn("GET", "/auth/me")).status, 200);
  await client.logOut(); // done by the first try: the third finds no session
  assert.deepEqual(
    ["/auth/signup", "/auth/refresh", "/auth/me", "/auth/logout"].map(times),
    [1, 4, 3, 3],
  );
});

test("asks once where a second time would count", async () => {
  const { client, sent } = newClient({ lose: () => true });
  await assert.rejects(client.logIn(credentials()), { status: 0, code: "unreachable" });
  await assert.rejects(client.signUp(credentials()), AuthError);
  assert.deepEqual(sent, ["/auth/login", "/auth/signup"]);
});

test("tells that a session is over, once", async () => {
  const { client } = newClient();
  const { accessToken } = await client.signUp(credentials());
  const over = { Authorization: `Bearer ${accessToken}`, "Content-Type": "application/json" };
  await fetch(`${url}/auth/logout/all`, { method: "POST", headers: over, body: "{}" });
  let heard = 0;
  client.addEventListener("expired", () => (heard += 1));
  const calls = [client.callSignedIn("GET", "/auth/me"), client.callSignedIn("GET", "/auth/sessions")];
  const errors = (await Promise.allSettled(calls)).map(({ reason }) => [reason.status, reason.isTold]);
  assert.deepEqual([errors, heard, client.isSignedIn], [[[401, true], [401, true]], 1, false]);
});

test("names code, field and delay of an error", async () => {
  const { client } = newClient();
  await assert.rejects(client.signUp({ email: "no address", password }), {
    name: "AuthError",
    status: 400,
    code: "bad_request",
    field: "email",
  });
});

test("calls other software with the access token, and only what it may", async (t) => {
  const seen = [];
  const server = createServer((request, response) => {
    seen.push(request.headers.authorization);
    response.writeHead(seen.length === 1 ? 401 : 200).end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const other = `http://127.0.0.1:${server.address().port}`;
  const { client } = newClient({ resources: [other] });
  await client.signUp(credentials());
  const body = new Blob(["a", "b"]);
  const answer = await client.fetch(`${other}/things`, { method: "POST", body });
  assert.equal(answer.status, 200);
  assert.equal(seen.length, 2);
  assert.notEqual(seen[0], seen[1]); // renewed in between
  assert.match(seen[1], /^Bearer ey/);
  await assert.rejects(client.fetch("http://127.0.0.1:9/things"), /would get the access token/);
});
