// What was recorded: users, threads, runs, steps, generations, scores, attachments.

const assert = require('node:assert/strict');
const { createReadStream, mkdtempSync, writeFileSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
const { test } = require('node:test');
const { Score } = require('@literalai/client');
const { NEWEST, client, eventually, fresh, randomUUID } = require('./places.cjs');

const literal = client();
const { api } = literal;

test('a user is made, changed, found, listed and deleted', async () => {
  const name = fresh('ada');
  const made = await api.createUser(name, { a: 1 });
  assert.ok(made.id);
  assert.deepEqual((await api.updateUser(made.id, name, { b: 2 })).metadata, { b: 2 });
  const found = await api.getUser(name);
  assert.deepEqual([found.id, found.identifier, found.metadata], [made.id, name, { b: 2 }]);
  assert.equal(await api.getOrCreateUser(name), made.id);
  const listed = await api.getUsers({ first: 1 });
  assert.deepEqual(listed.data.map((user) => user.id), [made.id]);
  await api.deleteUser(made.id);
  assert.ok((await api.getUser(name)) == null);
});

test('a thread is upserted in both ways of calling, and its tags are replaced', async () => {
  for (const positional of [false, true]) {
    const id = randomUUID();
    const user = (await api.createUser(fresh('bob'))).id;
    const upsert = (name, metadata, tags) =>
      positional
        ? api.upsertThread(id, name, metadata, user, tags)
        : api.upsertThread({ threadId: id, name, metadata, participantId: user, tags });
    assert.equal((await upsert('first', { a: 1 }, ['x', 'y'])).id, id);
    await upsert('second', { a: 2 }, ['z']);
    const found = await api.getThread(id);
    assert.deepEqual([found.name, found.metadata, found.tags], ['second', { a: 2 }, ['z']]);
    assert.equal(found.participant.id, user);
    await api.deleteThread(id);
    assert.equal(await api.getThread(id), null);
  }
});

test('threads are exported by filters, in order and in pages', async () => {
  const tag = fresh('export');
  const ids = [];
  for (const name of ['one', 'two', 'three']) {
    const thread = await literal.thread({ name, tags: [tag], metadata: { name } }).upsert();
    await thread.step({ name: 'question', type: 'user_message', output: { content: name } }).send();
    ids.unshift(thread.id);
  }
  const tagged = { field: 'tags', operator: 'in', value: [tag] };
  const page = await api.getThreads({ first: 2, filters: [tagged], orderBy: NEWEST });
  assert.deepEqual(page.data.map((thread) => thread.id), ids.slice(0, 2));
  assert.equal(page.data[0].steps[0].output.content, 'three');
  assert.ok(page.pageInfo.hasNextPage);
  const rest = await api.getThreads({ first: 2, after: page.pageInfo.endCursor, filters: [tagged], orderBy: NEWEST });
  assert.deepEqual(rest.data.map((thread) => thread.id), ids.slice(2));
  const later = { field: 'createdAt', operator: 'gt', value: new Date(Date.now() + 60_000).toISOString() };
  assert.deepEqual((await api.getThreads({ filters: [later] })).data, []);
  const named = { field: 'metadata', operator: 'eq', value: 'two', path: 'name' };
  assert.deepEqual((await api.getThreads({ filters: [tagged, named] })).data.map((thread) => thread.id), [ids[1]]);
  const said = { field: 'stepOutput', operator: 'ilike', value: 'THRE', path: 'content' };
  assert.deepEqual((await api.getThreads({ filters: [tagged, said] })).data.map((thread) => thread.id), [ids[0]]);
});

test('a run with a generation keeps its error, its metadata and the model', async () => {
  const thread = await literal.thread({ name: 'runs' }).upsert();
  const run = thread.run({
    name: 'agent',
    error: { message: 'too hot' },
    metadata: { attempt: 1 },
    generation: { type: 'CHAT', provider: 'openai', model: 'gpt-4o', messages: [{ role: 'user', content: 'hi' }] }
  });
  await run.send();
  const found = await api.getStep(run.id);
  assert.equal(found.error, JSON.stringify({ message: 'too hot' }));
  assert.deepEqual(found.metadata, { attempt: 1 });
  assert.deepEqual([found.type, found.generation.provider, found.generation.model], ['run', 'openai', 'gpt-4o']);
  const child = run.step({ name: 'tool', type: 'tool', input: { a: 1 } });
  await child.send();
  const inside = await api.getStep(child.id);
  assert.deepEqual([inside.parentId, inside.threadId, inside.input], [run.id, thread.id, { a: 1 }]);
});

test('a step of a thread that was never upserted makes the thread', async () => {
  const thread = literal.thread({ id: randomUUID() });
  const step = thread.step({ name: 'first', type: 'tool', tags: ['a', 'b'] });
  await step.send();
  assert.equal((await api.getThread(thread.id)).steps[0].id, step.id);
  assert.equal(await api.deleteThread(thread.id), thread.id);
  assert.equal(await api.getThread(thread.id), null);
});

test('a step outside any thread has null, not a blank, for what it lacks', async () => {
  const step = await literal.step({ name: 'alone', type: 'embedding' }).send();
  const found = await api.getStep(step.id);
  for (const name of ['threadId', 'parentId', 'rootRunId', 'error', 'generation']) assert.equal(found[name], null, name);
  await api.deleteStep(step.id);
  assert.equal(await api.getStep(step.id), null);
});

test('steps are found by id and tags together, by parent and by thread', async () => {
  const tag = fresh('tag');
  const thread = literal.thread();
  const run = await thread.run({ name: 'outer', tags: [tag] }).send();
  const child = await run.step({ name: 'inner', type: 'tool', tags: [tag] }).send();
  const ids = async (...filters) => (await api.getSteps({ first: 10, filters })).data.map((step) => step.id);
  const tagged = { field: 'tags', operator: 'in', value: [tag] };
  assert.deepEqual(await ids({ field: 'id', operator: 'eq', value: run.id }, tagged), [run.id]);
  assert.deepEqual(await ids({ field: 'parentId', operator: 'eq', value: run.id }), [child.id]);
  assert.deepEqual(await ids({ field: 'threadId', operator: 'eq', value: thread.id }), [child.id, run.id]);
});

test('a generation is a step with the same id, and comes first in the list', async () => {
  const id = randomUUID();
  await api.createGeneration({
    id,
    provider: 'openai',
    model: 'gpt-4o',
    messages: [{ role: 'user', content: 'hi' }],
    messageCompletion: { role: 'assistant', content: 'hello' },
    tokenCount: 5,
    tags: ['t']
  });
  const [newest] = (await api.getGenerations({ first: 1, orderBy: NEWEST })).data;
  assert.deepEqual([newest.id, newest.type, newest.model, newest.tokenCount], [id, 'CHAT', 'gpt-4o', 5]);
  const step = await api.getStep(id);
  assert.deepEqual([step.type, step.threadId, step.parentId], ['llm', null, null]);
  assert.equal(step.generation.messageCompletion.content, 'hello');
});

test('a score is made, changed without losing its comment, listed and deleted', async () => {
  const step = await literal.run({ name: 'scored' }).send();
  const made = await api.createScore({ stepId: step.id, name: 'clarity', type: 'AI', value: 1, comment: 'good' });
  const changed = await api.updateScore(made.id, { value: 0 });
  assert.deepEqual([changed.value, changed.comment], [0, 'good']);
  const [newest] = (await api.getScores({ first: 1, orderBy: NEWEST })).data;
  assert.deepEqual([newest.id, newest.stepId, newest.type], [made.id, step.id, 'AI']);
  await api.deleteScore(made.id);
  assert.deepEqual((await api.getStep(step.id)).scores, []);
});

test('scores in a batch keep their order, their exact values and their scorer', async () => {
  const step = await literal.run({ name: 'scored' }).send();
  const given = [0.9234, 0, 1 / 3].map((value, number) => ({
    stepId: step.id, name: `s${number}`, type: 'CODE', value, scorer: 'a judge', comment: `c${number}`
  }));
  const made = await api.createScores(given.map((score) => new Score(score)));
  assert.deepEqual(
    made.map(({ name, value, scorer, comment }) => ({ stepId: step.id, name, type: 'CODE', value, scorer, comment })),
    given
  );
});

test('attachments of every kind hang on their step and give their bytes', async () => {
  const bytes = Buffer.from('na\u00efve\u0000\r\n'.repeat(1000));
  const path = join(mkdtempSync(join(tmpdir(), 'attach-')), 'notes.txt');
  writeFileSync(path, bytes);
  const kinds = {
    stream: { content: createReadStream(path) },
    buffer: { content: bytes },
    arrayBuffer: { content: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) },
    blob: { content: new Blob([bytes]) },
    file: { content: new File([bytes], 'notes.txt') },
    path: { path }
  };
  for (const [kind, source] of Object.entries(kinds)) {
    const thread = await literal.thread({ name: kind }).upsert();
    const attachment = await api.createAttachment({
      ...source, threadId: thread.id, name: kind, mime: 'text/plain', metadata: { kind }
    });
    assert.ok(attachment.objectKey, kind);
    const step = thread.step({ name: kind, type: 'user_message', attachments: [attachment] });
    await step.send();
    const [found, ...more] = (await api.getStep(step.id)).attachments;
    assert.deepEqual(more, [], kind);
    assert.deepEqual(
      [found.id, found.objectKey, found.name, found.metadata],
      [attachment.id, attachment.objectKey, kind, { kind }]
    );
    const unsigned = (url) => url.split('X-Amz-Date')[0];
    assert.equal(unsigned(found.url), unsigned(attachment.url), kind);
    const read = await fetch(found.url);
    assert.equal(read.status, 200, kind);
    assert.deepEqual(Buffer.from(await read.arrayBuffer()), bytes, kind);
  }
});

test('an attachment made inside a step joins that step', async () => {
  const step = literal.step({ name: 'with a file', type: 'tool' });
  await step.wrap(() => api.createAttachment({ content: Buffer.from('x'), name: 'x.txt', mime: 'text/plain' }));
  const found = await eventually(() => api.getStep(step.id));
  assert.deepEqual(found.attachments.map((file) => file.name), ['x.txt']);
});

test('the key tells its project, and a wrong key is refused with a reason', async () => {
  assert.match(await api.getProjectId(), /^verbatim-/);
  await assert.rejects(client({ apiKey: 'wrong' }).api.getThread('t'), /key/);
});
