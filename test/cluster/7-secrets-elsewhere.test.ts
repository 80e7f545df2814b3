import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SettingsInput } from '../../config';
import { secrets } from '../../config/secrets';
import { manifestsOf, settingsOf } from '../support';
import { grafanaAnswer, present, redisAnswer, restarts } from './passwords';
import { checkoutWith, get, kubectl, list, namespace, until } from './support';

const rotated = [secrets.redis, secrets.grafana].map(({ name }) => name);
const owner: SettingsInput['secrets'] = { mode: 'external-secrets', store: { name: 'vault' } };
const checkout = checkoutWith('config/local.ts', { "environment: 'local',": `environment: 'local', secrets: ${JSON.stringify(owner)},` });

/** As much of the External Secrets Operator as the API server has to know. */
const DEFINITION = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'externalsecrets.external-secrets.io' },
  spec: {
    group: 'external-secrets.io',
    names: { kind: 'ExternalSecret', listKind: 'ExternalSecretList', plural: 'externalsecrets', singular: 'externalsecret' },
    scope: 'Namespaced',
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
  },
};

type Entry = Readonly<Record<string, string>>;

/** What an entry of the store is after somebody has done to it what they are told. */
function follow(instruction: string, entry: Entry): Entry {
  const matches = (pattern: RegExp): string[][] => [...instruction.matchAll(pattern)].map(([, ...groups]) => groups);
  const removed = matches(/remove ([\w.-]+)/g).flat();
  const set = [
    ...matches(/set ([\w.-]+) to \d+ random/g).map(([key]) => [key, randomBytes(16).toString('hex')]),
    ...matches(/set ([\w.-]+) to what ([\w.-]+) has now/g).map(([key, source]) => [key, entry[source as string]]),
  ];
  return Object.fromEntries([...Object.entries(entry).filter(([key]) => !removed.includes(key)), ...set]);
}

const encoded = (entry: Entry): Entry =>
  Object.fromEntries(Object.entries(entry).map(([key, value]) => [key, Buffer.from(value).toString('base64')]));

/** Copies an entry to its Secret as the operator does: whenever it is asked to look. */
async function copy(name: string, entry: () => Entry, signal: AbortSignal): Promise<void> {
  let answered: string | undefined;
  while (!signal.aborted) {
    const { metadata } = await get('-n', namespace, 'externalsecret', name);
    const asked = metadata.annotations?.['force-sync'];
    if (asked !== answered) {
      const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, data: encoded(entry()) };
      const write = ['apply', '--server-side', '--force-conflicts', '--field-manager=external-secrets', '-f', '-'];
      await kubectl(write, Buffer.from(JSON.stringify(secret)));
    }
    answered = asked;
    await sleep(500);
  }
}

interface Rotation {
  readonly code: number;
  readonly document: { readonly ok: boolean };
  readonly instructions: readonly string[];
}

/** Rotates a Secret whose values a store has, and does there what the command says. */
async function rotate(name: string): Promise<Rotation> {
  const { data } = await get('-n', namespace, 'secret', name);
  let entry: Entry = Object.fromEntries(Object.entries<string>(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]));
  const instructions: string[] = [];
  const child = spawn(process.execPath, ['cli/bin.js', 'secrets', '--rotate', name, '--env', 'local', '--force', '--json'], {
    cwd: checkout.folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  createInterface({ input: child.stderr }).on('line', line => {
    if (!line.startsWith('In ')) return;
    instructions.push(line);
    entry = follow(line, entry);
  });
  const end = new AbortController();
  const ended = once(child, 'close').finally(() => end.abort());
  const done = Promise.all([text(child.stdout), ended, copy(name, () => entry, end.signal)]);
  const [output, [code]] = await done.finally(() => child.kill());
  return { code, document: JSON.parse(output), instructions };
}

let before: Record<string, string>;
let after: Record<string, string>;
let restartsBefore: Record<string, number>;
let rotations: readonly Rotation[];
beforeAll(async () => {
  await kubectl(['apply', '-f', '-'], Buffer.from(JSON.stringify(DEFINITION)));
  const requests = manifestsOf(settingsOf('local', { secrets: owner })).filter(({ kind }) => kind === 'ExternalSecret');
  await until('the kind ExternalSecret', 60, () => list('-n', namespace, 'externalsecrets'));
  await kubectl(['apply', '-n', namespace, '-f', '-'], Buffer.from(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: requests })));
  before = await present();
  restartsBefore = await restarts();
  rotations = await Promise.all(rotated.map(rotate));
  after = await present();
}, 300_000);
afterAll(async () => {
  await kubectl(['delete', 'crd', DEFINITION.metadata.name, '--ignore-not-found']);
  checkout.remove();
});

test('values that a store has are replaced in three changes there, each as the command says', () => {
  for (const { code, document, instructions } of rotations) {
    expect({ code, ok: document.ok, changes: instructions.length }).toEqual({ code: 0, ok: true, changes: 3 });
  }
  for (const name of rotated) expect({ name, changed: after[name] !== before[name] }).toEqual({ name, changed: true });
});

test('nothing was restarted', async () => {
  expect(await restarts()).toEqual(restartsBefore);
});

test('the former values have ended, and the new ones are valid', async () => {
  expect(await redisAnswer(before['orfeas-redis'] as string)).toContain('WRONGPASS');
  expect(await redisAnswer(after['orfeas-redis'] as string)).toBe('PONG');
  expect(await grafanaAnswer(before['orfeas-grafana'] as string)).toBe('401');
  expect(await grafanaAnswer(after['orfeas-grafana'] as string)).toBe('200');
});

test('nothing that the command says has a value in it', () => {
  const said = rotations.flatMap(({ instructions, document }) => [...instructions, JSON.stringify(document)]).join();
  expect([...Object.values(before), ...Object.values(after)].filter(value => said.includes(value))).toHaveLength(0);
});
