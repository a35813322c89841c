// What two OAuth libraries make of the service: of its metadata, revocation and introspection.
// node oauth_clients.mjs ISSUER KEY ACCESS_TOKEN REFRESH_TOKEN; prints what they say as JSON.

import * as oauth from 'oauth4webapi'
import * as client from 'openid-client'

const [issuer, key, access, refresh] = process.argv.slice(2)
const url = new URL(issuer)
const insecure = { [oauth.allowInsecureRequests]: true }
const shown = (text) => (as, metadata, body, headers) => {
  headers.set('authorization', `Bearer ${text}`)
}

const config = await client.discovery(url, 'a gateway', undefined, shown(key), {
  algorithm: 'oauth2',
  execute: [client.allowInsecureRequests],
})
const as = await oauth
  .discoveryRequest(url, { algorithm: 'oauth2', ...insecure })
  .then((response) => oauth.processDiscoveryResponse(url, response))

async function introspected(token, text = key) {
  const gateway = { client_id: 'a gateway' }
  const response = await oauth.introspectionRequest(as, gateway, shown(text), token, insecure)
  return oauth.processIntrospectionResponse(as, gateway, response)
}

const told = {
  issuer: config.serverMetadata().issuer,
  sameMetadata: JSON.stringify(as) === JSON.stringify(config.serverMetadata()),
  access: await client.tokenIntrospection(config, access),
  sameAnswer: await introspected(access),
  refresh: await client.tokenIntrospection(config, refresh),
  junk: await introspected('junk'),
}
try {
  await introspected(access, 'osk_wrong')
} catch (error) {
  told.wrongKey = { name: error.name, challenges: error.cause }
}
await client.tokenRevocation(config, refresh)
told.afterRevocation = await introspected(access)
const gone = await oauth.revocationRequest(as, { client_id: 'x' }, oauth.None(), access, insecure)
told.revokedAgain = (await oauth.processRevocationResponse(gone)) === undefined
console.log(JSON.stringify(told))
