import { loadSettings } from '../../config';
import { Delivery, installArgoCd } from './gitops';
import { ALL, get, kubectl, list, namespace, orfeas, removeNamespace, until } from './support';

beforeAll(installArgoCd);
afterAll(async () => {
  expect((await orfeas(['deploy', '--env', 'local', '--skip-build', '--skip-health-check'])).code).toBe(0);
});

const namesOf = async (kind: string, where = namespace): Promise<string[]> =>
  (await list('-n', where, kind)).map(({ metadata }) => metadata.name);
/** Jobs by which backups were made. */
const backups = async (): Promise<string[]> => (await namesOf('jobs')).filter(name => /^backup-\d+$/.test(name));

describe('local, from an empty namespace', () => {
  const delivery = new Delivery('local', {});
  let revision: string;
  beforeAll(async () => {
    await removeNamespace(namespace);
    for (const command of ['secrets', 'tls']) await delivery.orfeas(command);
    revision = await delivery.start();
  });
  afterAll(() => delivery.remove());

  test('it is deployed wave by wave, although claims wait for consumers in later waves', async () => {
    const { operationState } = await delivery.synced(revision);
    expect(operationState.syncResult.resources).toContainEqual(
      expect.objectContaining({ kind: 'Job', name: 'backup-before-sync', hookPhase: 'Succeeded' }),
    );
    expect(await backups()).toEqual([]);
  });

  test('no object differs right after it, as Argo CD and orfeas diff see it', async () => {
    expect(await delivery.differences()).toEqual([]);
    await delivery.orfeas('diff');
  });

  test('a change by hand is taken back, without a backup', async () => {
    await kubectl(['-n', namespace, 'scale', 'deployment/web', '--replicas=3']);
    await delivery.differences();
    await until('the replicas of git', 90, async () => (await get('-n', namespace, 'deployment/web')).spec.replicas === 1);
    await delivery.synced(revision);
    expect(await backups()).toEqual([]);
  });

  test('work by hand is left alone while healing is paused; a sync without hooks ends it', async () => {
    await delivery.heal(false);
    try {
      await kubectl(['-n', namespace, 'scale', 'deployment/web', '--replicas=2']);
      await until('the difference', 60, async () => (await delivery.differences()).includes('Deployment/web: OutOfSync'));
      await delivery.syncWithoutHooks();
      expect((await get('-n', namespace, 'deployment/web')).spec.replicas).toBe(1);
      expect(await backups()).toEqual([]);
    } finally {
      await delivery.heal(true);
    }
  });

  test('a commit is taken up after a backup: what git has no more goes, but for claims', async () => {
    const changed = await delivery.commit({ 'monitoring: {': "logging: { level: 'DEBUG' }, monitoring: { metrics: false," });
    await delivery.synced(changed);
    expect((await get('-n', namespace, 'configmap/backend-env')).data.LOG_LEVEL).toBe('DEBUG');
    expect(await namesOf('statefulsets')).toEqual(['redis']);
    expect(await namesOf('persistentvolumeclaims')).toEqual(expect.arrayContaining(['prometheus-data', 'grafana-data']));
    // They are told of, but the Application counts as synced.
    const left = ['grafana-data', 'prometheus-data'].map(name => `PersistentVolumeClaim/${name}: OutOfSync`);
    expect((await delivery.differences()).sort()).toEqual(left);
    // One for each sync: of a failed one there is another, and of a commit that comes between Argo CD's looks at the two folders.
    expect(await backups()).not.toEqual([]);
    expect(JSON.parse(await delivery.orfeas('backup', 'list', '--json')).snapshots).not.toEqual([]);
    expect(await namesOf('roles')).not.toContain('backup-before-sync');
  });

  (ALL ? test : test.skip)('a backup that fails stops a commit before any workload', async () => {
    const secret = await get('-n', namespace, 'secret', 'orfeas-backup');
    const setPassword = (data: unknown) => kubectl(['-n', namespace, 'patch', 'secret', 'orfeas-backup', '-p', JSON.stringify({ data })]);
    const { generation } = (await get('-n', namespace, 'deployment/backend')).metadata;
    await setPassword({ password: Buffer.from('another').toString('base64') });
    try {
      const reverted = await delivery.revert();
      await until('the failure of the hook', 180, async () => (await delivery.hook(reverted)) === 'Failed');
      expect((await get('-n', namespace, 'deployment/backend')).metadata.generation).toBe(generation);
      await setPassword(secret.data);
      await delivery.synced(reverted);
      expect(await namesOf('statefulsets')).toEqual(['prometheus', 'redis']);
    } finally {
      await setPassword(secret.data);
    }
  });

  test('it goes with its Application when that is asked for, but for claims and Secrets', async () => {
    const claims = await namesOf('persistentvolumeclaims');
    await delivery.removeStudio();
    expect(await namesOf('persistentvolumeclaims')).toEqual(claims);
    expect(await namesOf('deployments,statefulsets,services,cronjobs')).toEqual([]);
    expect(await namesOf('secrets')).toContain('orfeas-app');
  });
});

/** What keeps the other environments from this cluster: images, names and certificates of the internet, and the real model. */
const here = (environment: 'staging' | 'production'): Record<string, string> => ({
  "images: { registry: 'registry.example.com/orfeas', version: '0.1.0' },":
    "images: { registry: 'localhost/orfeas', version: '0.1.0', pin: 'tag', pullPolicy: 'IfNotPresent' }, model: { engine: 'relief' },",
  'studio.example.com': 'studio.test',
  "certificate: { source: 'lets-encrypt', email: 'operator@example.com'": "namespaces: ['ingress'], certificate: { source: 'secret'",
  ...(environment === 'staging' && { ", server: 'staging' }": ' }' }),
});

(ALL ? describe : describe.skip).each([
  ['production', 'labelled'],
  ['staging', undefined],
] as const)('%s, from an empty namespace', (environment, cluster) => {
  const delivery = new Delivery(environment, here(environment), cluster);
  const where = loadSettings(environment).namespace;
  afterAll(async () => {
    await delivery.remove();
    await removeNamespace(where);
  });

  test('it is deployed, and no object differs', async () => {
    for (const command of ['secrets', 'tls']) await delivery.orfeas(command);
    await delivery.synced(await delivery.start());
    expect(await delivery.differences()).toEqual([]);
  });
});
