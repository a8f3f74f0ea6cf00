// Wrappers, decorators and environments: what the SDK sends from the context that a function runs in.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { client, eventually, fresh, randomUUID } = require('./places.cjs');

const literal = client();
const { api } = literal;

const stepOf = (id) => eventually(() => api.getStep(id));

test('a step wrapped in a thread keeps its output, whether an object or not', async () => {
  const ids = {};
  const answer = await literal.thread({ name: 'wrapped' }).wrap(async (thread) => {
    ids.thread = thread.id;
    return literal.step({ name: 'assistant', type: 'assistant_message' }).wrap((step) => {
      ids.message = step.id;
      return literal.run({ name: 'object' }).wrap(async (run) => {
        ids.run = run.id;
        return { deep: true };
      }).then(() => 'words');
    });
  });
  assert.equal(answer, 'words');
  const [message, run] = [await stepOf(ids.message), await stepOf(ids.run)];
  assert.deepEqual([message.output, run.output], [{ output: 'words' }, { deep: true }]);
  assert.deepEqual([message.threadId, message.parentId, run.parentId], [ids.thread, null, ids.message]);
  assert.equal((await eventually(() => api.getThread(ids.thread))).name, 'wrapped');
});

test('nested runs know the outermost one', async () => {
  const ids = [];
  await literal.run({ name: 'outer' }).wrap(async (outer) => {
    ids.push(outer.id);
    await literal.run({ name: 'middle' }).wrap(async (middle) => {
      ids.push(middle.id);
      await literal.step({ name: 'inner', type: 'tool' }).wrap(async (inner) => { ids.push(inner.id); });
    });
  });
  const [outer, middle, inner] = await Promise.all(ids.map(stepOf));
  assert.deepEqual([outer.threadId, outer.parentId, outer.rootRunId], [null, null, null]);
  assert.deepEqual([middle.parentId, middle.rootRunId], [outer.id, outer.id]);
  assert.deepEqual([inner.parentId, inner.rootRunId], [middle.id, outer.id]);
});

test('nothing is stored of a step that throws, and asking for it is no error', async () => {
  const [thread, step] = [randomUUID(), randomUUID()];
  await assert.rejects(
    literal.thread({ id: thread }).wrap(() =>
      literal.step({ id: step, name: 'broken', type: 'tool' }).wrap(() => { throw new Error('out of paper'); })
    ),
    /out of paper/
  );
  assert.equal(await api.getThread(thread), null);
  assert.equal(await api.getStep(step), null);
});

test('what is told after the work counts: names, metadata, tags of thread and step', async () => {
  const ids = {};
  await literal.thread({ name: 'before', metadata: { k: 1 } }).wrap(
    async (thread) => {
      ids.thread = thread.id;
      thread.name = 'edited';
      await literal.run({ name: 'before' }).wrap(
        async (run) => { ids.run = run.id; run.name = 'edited'; return 1; },
        (output) => ({ metadata: { seen: output }, tags: ['late'] })
      );
    },
    { metadata: { k: 2 }, tags: ['late'] }
  );
  const [run, thread] = [await stepOf(ids.run), await eventually(() => api.getThread(ids.thread))];
  assert.deepEqual([run.name, run.metadata, run.tags], ['edited', { seen: 1 }, ['late']]);
  assert.deepEqual([thread.name, thread.metadata, thread.tags], ['edited', { k: 2 }, ['late']]);
});

test('a fetched thread and step can be wrapped again, and everything they had stays', async () => {
  const thread = await literal.thread({ name: 'again', tags: ['t'] }).upsert();
  const run = thread.run({ name: 'first', input: { a: 1 }, metadata: { m: 1 }, tags: ['r'] });
  await run.send();
  const fetched = await api.getStep(run.id);
  await (await api.getThread(thread.id)).wrap(() => fetched.wrap(() => 'new output'));
  const found = await eventually(async () => {
    const step = await api.getStep(run.id);
    return step.output ? step : null;
  });
  assert.deepEqual(
    [found.name, found.input, found.output, found.metadata, found.tags, found.threadId],
    ['first', { a: 1 }, { output: 'new output' }, { m: 1 }, ['r'], thread.id]
  );
  const threadNow = await api.getThread(thread.id);
  assert.deepEqual([threadNow.name, threadNow.tags, threadNow.steps.length], ['again', ['t'], 1]);
});

test('a decorated block lends its metadata, tags and step id to what is made inside', async () => {
  const stepId = randomUUID();
  const ids = {};
  await literal.decorate({ metadata: { team: 'red' }, tags: ['decorated'], stepId }).wrap(() =>
    literal.thread({ name: 'decorated' }).wrap(async (thread) => {
      ids.thread = thread.id;
      await literal.step({ name: 'inside', type: 'tool' }).wrap(async () => 1);
    })
  );
  const [step, thread] = [await stepOf(stepId), await eventually(() => api.getThread(ids.thread))];
  assert.deepEqual([step.metadata, step.tags], [{ team: 'red' }, ['decorated']]);
  assert.deepEqual([thread.metadata, thread.tags], [{ team: 'red' }, ['decorated']]);
});

test('the environment and the release of a client go with its steps', async () => {
  const staging = client({ environment: 'staging', release: 'v9' });
  const step = await staging.run({ name: 'staged' }).send();
  assert.equal((await api.getStep(step.id)).environment, 'staging');
  const usual = await literal.run({ name: 'usual' }).send();
  assert.equal((await api.getStep(usual.id)).environment, 'prod');
});

test('many requests at once lose nothing', async () => {
  const thread = literal.thread({ name: fresh('parallel') });
  await Promise.all([
    thread.upsert(),
    ...Array.from({ length: 40 }, (_, number) => thread.step({ name: `${number}`, type: 'tool' }).send())
  ]);
  assert.equal((await api.getThread(thread.id)).steps.length, 40);
});
