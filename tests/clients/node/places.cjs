// The client under test, and how to wait for what it sends behind the caller's back.

const { LiteralClient } = require('@literalai/client');
const { randomUUID } = require('node:crypto');
const { setTimeout: pause } = require('node:timers/promises');

const SERVER = process.env.CLIENTS_SERVER;
const MODEL = process.env.CLIENTS_MODEL;
const KEY = process.env.CLIENTS_KEY;

// With a slash at the end, as people write it: this SDK puts a second one behind it.
function client(options = {}) {
  return new LiteralClient({ apiKey: KEY, apiUrl: `${SERVER}/`, ...options });
}

function fresh(name) {
  return `${name} ${randomUUID()}`;
}

async function eventually(fact) {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const found = await fact();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`It did not come true: ${fact}`);
    await pause(30);
  }
}

const NEWEST = { column: 'createdAt', direction: 'DESC' };

module.exports = { MODEL, NEWEST, client, eventually, fresh, randomUUID };
