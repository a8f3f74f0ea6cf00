// Judging a model: datasets, experiments, prompts.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { client, eventually, fresh, randomUUID } = require('./places.cjs');

const literal = client();
const { api } = literal;

const QUESTION = { role: 'user', content: 'How high is the tide?' };
const ANSWER = { role: 'assistant', content: 'Two metres.' };

test('datasets are listed, the first with its id and name alone', async () => {
  const list = await api.getDatasets();
  assert.deepEqual(Object.keys(list[0]).sort(), ['id', 'name']);
});

test('a dataset is made, found by id and name, changed and deleted', async () => {
  const name = fresh('tides');
  const made = await api.createDataset({ name });
  assert.deepEqual([made.name, made.type, made.metadata, made.items ?? []], [name, 'key_value', {}, []]);
  await made.update({ description: 'of the North Sea' });
  const found = await api.getDataset({ name });
  assert.deepEqual([found.id, found.name, found.description, found.items], [made.id, name, 'of the North Sea', []]);
  assert.ok((await api.getDatasets()).some((dataset) => dataset.id === made.id));
  await made.delete();
  assert.equal(await api.getDataset({ id: made.id }), null);
  assert.equal((await api.createDataset({ name: fresh('calls'), type: 'generation' })).type, 'generation');
});

test('items are made, read and deleted, by the API and by the dataset', async () => {
  const dataset = await api.createDataset({ name: fresh('items') });
  const first = await api.createDatasetItem(dataset.id, { input: { q: 1 }, expectedOutput: { a: 1 }, metadata: { n: 1 } });
  const second = await dataset.createItem({ input: { q: 2 } });
  const read = await api.getDatasetItem(first.id);
  assert.deepEqual([read.input, read.expectedOutput, read.metadata], [{ q: 1 }, { a: 1 }, { n: 1 }]);
  assert.equal((await api.getDataset({ id: dataset.id })).items.length, 2);
  await api.deleteDatasetItem(first.id);
  await dataset.deleteItem(second.id);
  assert.deepEqual((await api.getDataset({ id: dataset.id })).items, []);
});

test('a run becomes an item with the step inside it', async () => {
  const run = await literal.run({ name: 'agent', input: { q: 1 }, output: { a: 1 } }).send();
  await run.step({ name: 'call', type: 'llm', input: { p: 1 }, output: { c: 1 } }).send();
  const dataset = await api.createDataset({ name: fresh('runs') });
  const item = await dataset.addStep(run.id);
  assert.deepEqual([item.input, item.expectedOutput, item.intermediarySteps.length], [{ q: 1 }, { a: 1 }, 1]);
  assert.deepEqual([item.intermediarySteps[0].name, item.intermediarySteps[0].type], ['call', 'llm']);
});

test('generations become items, alone and in a batch, with and without a completion', async () => {
  const call = (generation) => literal.step({ name: 'call', type: 'llm', generation }).send();
  const whole = await call({ type: 'CHAT', messages: [QUESTION], messageCompletion: ANSWER });
  const half = await call({ type: 'CHAT', messages: [QUESTION] });
  const dataset = await api.createDataset({ name: fresh('calls'), type: 'generation' });
  const item = await dataset.addGeneration(whole.id);
  assert.deepEqual([item.input, item.expectedOutput], [{ messages: [QUESTION] }, ANSWER]);
  assert.equal(item.metadata.promptType, 'CHAT');
  const [again, bare] = await dataset.addGenerations([whole.id, half.id]);
  assert.deepEqual(again.expectedOutput, ANSWER);
  assert.ok(bare.expectedOutput);
  assert.equal((await api.getDataset({ id: dataset.id })).items.length, 3);
});

test('an experiment is made on a dataset, with a variant and with parameters, and takes items', async () => {
  const dataset = await api.createDataset({ name: fresh('judged') });
  const item = await dataset.createItem({ input: { q: 1 }, expectedOutput: { a: 1 } });
  const promptVariantId = await api.createPromptVariant('Default', [QUESTION]);
  assert.ok(promptVariantId);
  const experiment = await dataset.createExperiment({ name: 'first', promptVariantId, params: [{ temperature: 0 }] });
  assert.ok(experiment.id);
  const logged = await experiment.log({
    datasetItemId: item.id, input: { q: 1 }, output: { a: 1 }, scores: [{ name: 'match', type: 'AI', value: 1 }]
  });
  assert.deepEqual([logged.input, logged.output, logged.createdScores[0].value], [{ q: 1 }, { a: 1 }, 1]);
  const unscored = await experiment.log({ input: { q: 2 }, output: { a: 2 }, scores: [] });
  assert.deepEqual([unscored.input, unscored.createdScores], [{ q: 2 }, []]);
  assert.ok((await api.createExperiment({ name: 'alone' })).id);
});

test('a run of an experiment is stored in its own environment', async () => {
  const experiment = await api.createExperiment({ name: 'runs' });
  let runId;
  await literal.experimentItemRun().wrap(async (run) => {
    runId = run.id;
    await experiment.log({ input: { q: 1 }, output: { a: 1 }, scores: [{ name: 'match', type: 'AI', value: 1 }] });
  });
  const run = await eventually(() => api.getStep(runId));
  assert.deepEqual([run.environment, run.name], ['experiment', 'Experiment Run']);
});

test('a prompt is found by name, version and id, tells its page and renders', async () => {
  const prompt = await api.getPrompt('Default', 0);
  const project = await api.getProjectId();
  assert.deepEqual([prompt.name, prompt.version, prompt.provider], ['Default', 0, 'openai']);
  assert.ok(prompt.url.endsWith(`/projects/${project}/playground?name=Default&version=0`));
  assert.equal((await api.getPrompt('Default')).id, prompt.id);
  assert.equal((await api.getPromptById(prompt.id)).version, 0);
  const items = '* item 0\n* item 1\n* item 2\n';
  const [message] = prompt.formatMessages();
  assert.equal(message.content, `Hello, this is a test value and this\n\n${items}\nis a templated list.`);
  assert.match(prompt.formatMessages({ test_var: 'Edited value' })[0].content, /^Hello, this is a Edited value and/);
  assert.equal(await api.getPrompt(fresh('none')), undefined);
});

test('versions are numbered from nought, the same words get the same version, rollouts replace each other', async () => {
  const name = fresh('A/B');
  const versions = [];
  for (const content of ['Hello', 'Hello 2', 'Hello']) {
    versions.push((await api.getOrCreatePrompt(name, [{ role: 'user', content }])).version);
  }
  assert.deepEqual(versions, [0, 1, 0]);
  const rollout = async () =>
    (await api.getPromptAbTesting(name)).map((one) => [one.version, one.rollout]).sort((a, b) => a[0] - b[0]);
  assert.deepEqual(await rollout(), [[0, 100]]);
  await api.updatePromptAbTesting(name, [{ version: 0, rollout: 60 }, { version: 1, rollout: 40 }]);
  assert.deepEqual(await rollout(), [[0, 60], [1, 40]]);
});

test('a client that is refused goes on with the prompt it has', async () => {
  const prompt = await api.getPrompt('Default', 0);
  assert.equal((await client({ apiKey: 'wrong' }).api.getPrompt('Default', 0)).id, prompt.id);
});

test('a call made with a prompt is found by the name of its lineage', async () => {
  const prompt = await api.getPrompt('Default', 0);
  const id = randomUUID();
  await api.createGeneration({ id, promptId: prompt.id, messages: [QUESTION], variables: { test_var: 'x' } });
  const filters = [{ field: 'promptLineage', operator: 'eq', value: 'Default' }];
  const found = (await api.getGenerations({ first: 100, filters })).data.find((one) => one.id === id);
  assert.deepEqual(found.variables, { test_var: 'x' });
});
