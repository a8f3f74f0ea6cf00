// The OpenAI SDK, instrumented, against the offline model.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const OpenAI = require('openai').default;
const { MODEL, client, eventually } = require('./places.cjs');

const literal = client();
const { api } = literal;

const openai = literal.instrumentation.openai({
  client: new OpenAI({ apiKey: 'sk-none', baseURL: `${MODEL}/v1` }),
  tags: ['instrumented'],
  metadata: { by: 'test' }
});
const asked = { model: 'verbatim-offline', messages: [{ role: 'user', content: 'Hello' }], temperature: 0.5 };

async function callIn(threadId) {
  const whole = async () => {
    const thread = await api.getThread(threadId);
    return thread?.steps.find((step) => step.generation?.messageCompletion || step.generation?.completion);
  };
  return eventually(whole);
}

test('a chat call inside a thread is an llm step with its settings, messages and tokens', async () => {
  const ids = {};
  const answer = await literal.thread({ name: 'chat' }).wrap(async (thread) => {
    ids.thread = thread.id;
    return openai.chat.completions.create(asked);
  });
  const call = await callIn(ids.thread);
  assert.deepEqual([call.type, call.generation.type, call.generation.provider], ['llm', 'CHAT', 'openai']);
  assert.equal(call.generation.messageCompletion.content, answer.choices[0].message.content);
  assert.equal(call.generation.tokenCount, answer.usage.total_tokens);
  assert.equal(call.generation.settings.temperature, 0.5);
  assert.equal(call.generation.model, answer.model);
  assert.deepEqual([call.tags, call.metadata.by], [['instrumented'], 'test']);
});

test('a streamed chat call is recorded whole', async () => {
  const ids = {};
  let said = '';
  await literal.thread({ name: 'stream' }).wrap(async (thread) => {
    ids.thread = thread.id;
    for await (const chunk of await openai.chat.completions.create({ ...asked, stream: true })) {
      said += chunk.choices[0]?.delta?.content ?? '';
    }
  });
  const call = await callIn(ids.thread);
  assert.equal(call.generation.messageCompletion.content, said);
  assert.ok(call.generation.ttFirstToken >= 0);
});

test('a completion is recorded as a completion', async () => {
  const ids = {};
  await literal.thread({ name: 'completion' }).wrap(async (thread) => {
    ids.thread = thread.id;
    await openai.completions.create({ model: 'verbatim-offline', prompt: 'Once' });
  });
  const call = await callIn(ids.thread);
  assert.deepEqual([call.generation.type, call.generation.prompt], ['COMPLETION', 'Once']);
  assert.deepEqual([call.generation.completion, call.generation.tokenCount], ['Once there was', 12]);
});
