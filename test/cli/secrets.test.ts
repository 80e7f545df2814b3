import type { Secret } from '../../cli/objects';
import { ensureSecrets, refuseForeign, waitForSecrets } from '../../cli/secrets';
import { secrets } from '../../config/secrets';
import { settingsOf } from '../support';
import { FakeCluster } from './fake-cluster';

const namespace = 'orfeas-local';
const never = new AbortController().signal;

let fake: FakeCluster;
beforeEach(async () => {
  fake = await FakeCluster.start();
  fake.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
});
afterEach(() => fake.stop());

const secret = (name: string): Secret => fake.find<Secret>('Secret', name) as Secret;
const value = (name: string, key: string): string => Buffer.from(secret(name).data?.[key] ?? '', 'base64').toString();
const putSecret = (name: string, data: Record<string, string>) =>
  fake.put({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, data });

describe('missing Secrets', () => {
  test.each([
    ['orfeas-app', 'SECRET_KEY', 64],
    ['orfeas-redis', 'password', 32],
    ['orfeas-grafana', 'admin-password', 32],
    ['orfeas-backup', 'password', 32],
  ])('%s gets %s of %i letters and digits', async (name, key, characters) => {
    await ensureSecrets(fake.connect(), namespace);
    expect(value(name, key)).toMatch(new RegExp(`^[A-Za-z0-9]{${characters}}$`));
  });

  test('get values of their own', async () => {
    await ensureSecrets(fake.connect(), namespace);
    const values = Object.values(secrets).map(({ name, key }) => value(name, key));
    expect(new Set(values).size).toBe(values.length);
  });

  test('carry labels that keep a prune away', async () => {
    await ensureSecrets(fake.connect(), namespace);
    expect(secret('orfeas-app').metadata.labels).toMatchObject({ 'app.kubernetes.io/managed-by': 'orfeas' });
  });

  test('are told of, and not made, in a dry run', async () => {
    expect((await ensureSecrets(fake.connect(), namespace, { dryRun: true })).map(({ action }) => action)).toEqual(
      Array(4).fill('created'),
    );
    expect(fake.writes).toEqual([]);
  });

  test('that somebody makes at the same moment are left alone', async () => {
    fake.intercept = method =>
      method === 'POST' ? { status: 409, body: { reason: 'AlreadyExists', message: 'already exists' } } : undefined;
    expect((await ensureSecrets(fake.connect(), namespace)).map(({ action }) => action)).toEqual(Array(4).fill('kept'));
  });
});

test('a Secret that is there is never written again', async () => {
  const cluster = fake.connect();
  await ensureSecrets(cluster, namespace);
  const before = [...fake.objects.values()];
  const writes = fake.writes.length;
  expect((await ensureSecrets(cluster, namespace)).map(({ action }) => action)).toEqual(Array(4).fill('kept'));
  expect([...fake.objects.values()]).toEqual(before);
  expect(fake.writes).toHaveLength(writes);
});

test('a Secret that lacks its key gets that key added, and keeps the others', async () => {
  putSecret('orfeas-app', { OTHER: 'bWluZQ==' });
  expect(await ensureSecrets(fake.connect(), namespace)).toContainEqual({ name: 'orfeas-app', action: 'completed' });
  expect(value('orfeas-app', 'SECRET_KEY')).toHaveLength(64);
  expect(value('orfeas-app', 'OTHER')).toBe('mine');
});

describe('Secrets that an operator of the cluster makes', () => {
  const settings = settingsOf('local', { secrets: { mode: 'external-secrets', store: { name: 'vault' } } });

  test('are not made by the command, which says where to change them', () => {
    expect(() => refuseForeign(settings)).toThrow('The Secrets of local are not made by this command (secrets.mode is external-secrets)');
    expect(() => refuseForeign(settingsOf('local'))).not.toThrow();
  });

  test('are waited for, each by its name', async () => {
    for (const { name, key } of [secrets.app, secrets.grafana, secrets.backup]) putSecret(name, { [key]: 'eA==' });
    const said: string[] = [];
    await waitForSecrets(fake.connect(), settings, {
      signal: never,
      onProgress: text => {
        said.push(text);
        putSecret('orfeas-redis', { password: 'eA==' });
      },
    });
    expect(said).toEqual(['external-secrets has not made orfeas-redis yet']);
    expect(fake.writes).toEqual([]);
  });
});
