// oauth2-mock-server, which makes whatever token it is told to, on a free port of loopback.
//
// `POST /next` says how the next tokens are to be: `claims` in place of its own (null leaves one out),
// `header`, and `forge`, the name of a way below to sign the ID token anew.

import { createPublicKey, generateKeyPairSync } from "node:crypto";

import { SignJWT, UnsecuredJWT, decodeJwt, decodeProtectedHeader } from "jose";
import { OAuth2Server } from "oauth2-mock-server";

const [secret] = process.argv.slice(2);
const server = new OAuth2Server();
for (const [kid, alg] of Object.entries({ one: "RS256", two: "ES256" })) {
  await server.issuer.keys.generate(alg, { kid });
}
const other = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
const sign = (claims, header, key) => new SignJWT(claims).setProtectedHeader(header).sign(key);
const pem = () => {
  const key = server.issuer.keys.toJSON().find(({ kid }) => kid === "one");
  return createPublicKey({ key, format: "jwk" }).export({ type: "spki", format: "pem" });
};

const WAYS = {
  none: (claims) => new UnsecuredJWT(claims).encode(),
  secret: (claims) => sign(claims, { alg: "HS256", kid: "one" }, Buffer.from(secret)),
  publicKey: (claims) => sign(claims, { alg: "HS256", kid: "one" }, Buffer.from(pem())),
  oldKey: (claims) => sign(claims, { alg: "RS256", kid: "old" }, other),
  sameName: (claims) => sign(claims, { alg: "RS256", kid: "one" }, other),
  another: (claims, header) => sign(claims, { ...header, alg: "RS512" }, other),
};

let next = {};
server.service.addRoute("POST", "/next", (request, response) => {
  next = request.body;
  response.end();
});
server.service.on("beforeWellKnownOpenIdConfiguration", ({ body }) => {
  body.id_token_signing_alg_values_supported = ["RS256", "ES256", "HS256", "none"];
});
server.service.on("beforeTokenSigning", ({ header, payload }) => {
  Object.assign(header, next.header);
  for (const [name, value] of Object.entries(next.claims ?? {})) {
    if (value === null) delete payload[name];
    else payload[name] = value;
  }
});
// The service waits for no handler: what is forged is ready before the answer is written.
const build = server.service.buildIdTokens.bind(server.service);
server.service.buildIdTokens = async (...given) => {
  const tokens = await build(...given);
  if (!next.forge) return tokens;
  const [claims, header] = [decodeJwt(tokens.id_token), decodeProtectedHeader(tokens.id_token)];
  return { ...tokens, id_token: await WAYS[next.forge](claims, header) };
};

await server.start(0, "127.0.0.1");
console.log(`listening at ${server.issuer.url}`);
