// What the package of Standard Webhooks makes of a webhook, and of one that was changed on its way.
// node webhook.mjs SECRET HEADERS BODY; HEADERS is JSON. Prints what it says as JSON.

import { Webhook } from 'standardwebhooks'

const [secret, headers, body] = process.argv.slice(2)
const receiver = new Webhook(secret)

function refusal(headers, body) {
  try {
    receiver.verify(body, headers)
  } catch (error) {
    return error.message
  }
  return null
}

const told = {
  verified: receiver.verify(body, JSON.parse(headers)),
  changed: refusal(JSON.parse(headers), `${body} `),
  old: refusal({ ...JSON.parse(headers), 'webhook-timestamp': '1000000000' }, body),
}
process.stdout.write(JSON.stringify(told))
