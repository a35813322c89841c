// oidc-provider, which follows the specifications to the letter, on a free port of loopback.
//
// Whoever comes is logged in as the account that `login_hint` names, or as `somebody`, and has
// consented. `/end?sub=…&sid=…&to=…` sends a logout token of its own making to that address.

import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";

import * as oidc from "oidc-provider";

const Provider = oidc.Provider ?? oidc.default;
const [redirectUri, secret] = process.argv.slice(2);
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const server = createServer();
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "app",
      client_secret: secret,
      redirect_uris: [redirectUri],
      id_token_signed_response_alg: "ES256",
      backchannel_logout_uri: `${issuer}/nowhere`,
      backchannel_logout_session_required: true,
    },
  ],
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", kid: "one" }] },
  cookies: { keys: ["a key for tests"] },
  claims: { openid: ["sub"], email: ["email", "email_verified"] },
  features: {
    devInteractions: { enabled: false },
    backchannelLogout: { enabled: true },
  },
  fetch: (address, { dispatcher, ...options }) => fetch(address, options), // loopback, too
  pkce: { required: () => true },
  interactions: { url: (_, { uid }) => `/interaction/${uid}` },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: true }),
  }),
  async loadExistingGrant({ oidc: { client, session } }) {
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope("openid email");
    await grant.save();
    return grant;
  },
});

const answer = provider.callback();
server.on("request", async (request, response) => {
  const url = new URL(request.url, issuer);
  try {
    if (url.pathname.startsWith("/interaction/")) {
      const { params } = await provider.interactionDetails(request, response);
      const login = { accountId: params.login_hint ?? "somebody" };
      await provider.interactionFinished(request, response, { login });
    } else if (url.pathname === "/end") {
      const client = await provider.Client.find("app");
      client.backchannelLogoutUri = url.searchParams.get("to");
      await client.backchannelLogout(url.searchParams.get("sub"), url.searchParams.get("sid"));
      response.end();
    } else {
      answer(request, response);
    }
  } catch (error) {
    response.statusCode = 500;
    response.end(String(error));
  }
});
console.log(`listening at ${issuer}`);
