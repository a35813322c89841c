// What `jose` makes of logout tokens, by the rules of OpenID Connect Back-Channel Logout 1.0, 2.6.
// node logout_tokens.mjs ISSUER AUDIENCE TOKEN...; prints the claims of each as JSON.

import { createRemoteJWKSet, jwtVerify } from 'jose'

const [issuer, audience, ...tokens] = process.argv.slice(2)
const metadata = await fetch(`${issuer}/.well-known/oauth-authorization-server`)
const { jwks_uri } = await metadata.json()
const keys = createRemoteJWKSet(new URL(jwks_uri))
const told = []
for (const token of tokens) {
  const { payload } = await jwtVerify(token, keys, {
    issuer,
    audience,
    typ: 'logout+jwt',
    algorithms: ['ES256'],
    requiredClaims: ['iat', 'exp', 'jti', 'events'],
    maxTokenAge: '10 minutes',
  })
  told.push(payload)
}
console.log(JSON.stringify(told))
