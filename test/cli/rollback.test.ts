import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deploy } from '../../cli/commands/deploy';
import { listRollbacks, type RollbackOptions, rollback } from '../../cli/commands/rollback';
import { type KubernetesObject, title } from '../../cli/objects';
import { beginRevision, listRevisions, revisionBefore } from '../../cli/revisions';
import { FakeCluster } from './fake-cluster';

const namespace = 'orfeas-local';
const signal = new AbortController().signal;
const quiet = { env: 'local', json: true, skipHealthCheck: true } as const;

let fake: FakeCluster;
beforeEach(async () => {
  fake = await FakeCluster.startComplete();
});
afterEach(() => fake.stop());

const map = (name: string, value: string): KubernetesObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: {
    name,
    namespace,
    labels: {
      'app.kubernetes.io/part-of': 'orfeas',
      'app.kubernetes.io/managed-by': 'cdk8s',
      'app.kubernetes.io/instance': namespace,
    },
  },
  data: { value },
});
const namespaceObject: KubernetesObject = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };
const content = (value: string) => ({ host: 'studio.localhost', objects: [map('web', value)] });

describe('revisions', () => {
  beforeEach(() => fake.put(namespaceObject));
  const record = async (value: string, status: 'deployed' | 'failed', rollbackTo?: number) =>
    (await beginRevision(fake.connect(), namespace, content(value), rollbackTo))(status);
  const recorded = async () => (await listRevisions(fake.connect(), namespace)).map(({ number, status }) => `${number} ${status}`);
  const former = async () => revisionBefore(await listRevisions(fake.connect(), namespace))?.number;

  test('are pending until it is known how the deployment ended', async () => {
    const conclude = await beginRevision(fake.connect(), namespace, content('a'));
    expect(await recorded()).toEqual(['1 pending']);
    await conclude('deployed');
    expect(await recorded()).toEqual(['1 deployed']);
  });

  test('give back what was applied', async () => {
    await record('a', 'deployed');
    expect((await listRevisions(fake.connect(), namespace))[0]).toMatchObject(content('a'));
  });

  test('are not made of a deployment that changes nothing', async () => {
    await record('a', 'deployed');
    await record('a', 'failed');
    expect(await recorded()).toEqual(['1 deployed']);
  });

  test('are not made again of what is tried again', async () => {
    await record('a', 'deployed');
    await record('b', 'failed');
    await record('b', 'deployed');
    expect(await recorded()).toEqual(['2 deployed', '1 deployed']);
  });

  test('are kept ten at a time, and the one that was deployed last always', async () => {
    await record('a', 'deployed');
    for (let failure = 2; failure <= 13; failure++) await record(`${failure}`, 'failed');
    expect(await recorded()).toHaveLength(11);
    expect((await recorded()).at(-1)).toBe('1 deployed');
  });

  test('are refused while somebody else deploys', async () => {
    fake.intercept = method => (method === 'POST' ? { status: 409, body: { reason: 'AlreadyExists', message: 'exists' } } : undefined);
    await expect(record('a', 'deployed')).rejects.toMatchObject({ message: 'Somebody else deploys to orfeas-local right now' });
  });

  test('have no labels that a prune or a StatefulSet goes by', async () => {
    await record('a', 'deployed');
    expect(fake.find('ControllerRevision', 'orfeas-revision-1')?.metadata.labels).toEqual({ 'app.kubernetes.io/component': 'revision' });
  });

  describe('before', () => {
    test('a deployed one is the one that was deployed before it', async () => {
      await record('a', 'deployed');
      await record('b', 'deployed');
      expect(await former()).toBe(1);
    });

    test('a failed one is the last that was deployed', async () => {
      await record('a', 'deployed');
      await record('b', 'deployed');
      await record('c', 'failed');
      expect(await former()).toBe(2);
    });

    test('a rollback is the one that it went away from', async () => {
      await record('a', 'deployed');
      await record('b', 'deployed');
      await record('a', 'deployed', 1);
      expect(await former()).toBe(2);
    });

    test('a rollback that was cut off is that rollback', async () => {
      await record('a', 'deployed');
      await record('b', 'deployed');
      await beginRevision(fake.connect(), namespace, content('a'), 1);
      expect(await former()).toBe(3);
    });

    test('the only one is none', async () => {
      await record('a', 'deployed');
      expect(await former()).toBeUndefined();
    });
  });
});

describe('rollback', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'orfeas-'));
    process.env.KUBECONFIG = join(folder, 'kubeconfig');
    writeFileSync(process.env.KUBECONFIG, fake.kubeconfig);
  });
  afterEach(() => {
    delete process.env.KUBECONFIG;
    rmSync(folder, { recursive: true });
  });

  const back = (options: Partial<RollbackOptions> = {}) => rollback({ ...quiet, ...options }, signal);
  const webFiles = () => fake.find('ConfigMap', 'web-files') as KubernetesObject;

  /** A good deployment, and one with another text and an object more. */
  async function deployTwice(status: 'deployed' | 'failed' = 'deployed'): Promise<void> {
    await deploy({ ...quiet, skipBuild: true, skipTls: true }, signal);
    const cluster = fake.connect();
    const [first] = await listRevisions(cluster, namespace);
    const objects = (first?.objects ?? []).map(object =>
      title(object) === 'ConfigMap/web-files' ? { ...object, data: { ...(object.data as object), 'nginx.conf': 'bad' } } : object,
    );
    const conclude = await beginRevision(cluster, namespace, { host: 'studio.localhost', objects: [...objects, map('new', '1')] });
    fake.put({ ...webFiles(), data: { ...(webFiles().data as object), 'nginx.conf': 'bad' } });
    fake.put(map('new', '1'));
    await conclude(status);
  }

  test.each(['deployed', 'failed'] as const)('brings back what there was before a deployment that %s', async status => {
    await deployTwice(status);
    const { ok, result } = await back();
    expect({ ok, revision: result.revision }).toEqual({ ok: true, revision: 1 });
    expect(result.steps.map(({ name, status: state }) => `${name} ${state}`)).toEqual([
      'preflight done',
      'replace done',
      'pull done',
      'apply done',
      'wait done',
      'health skipped',
    ]);
    expect(result.changes.filter(({ action }) => action !== 'unchanged').map(({ object, action }) => `${object} ${action}`)).toEqual([
      'ConfigMap/web-files configured',
      'ConfigMap/new pruned',
    ]);
    expect((await listRevisions(fake.connect(), namespace))[0]).toMatchObject({ number: 3, status: 'deployed', rollbackTo: 1 });
  });

  test('a second time goes to where the first came from', async () => {
    await deployTwice();
    await back();
    expect(await back()).toMatchObject({ ok: true, result: { revision: 2 } });
    expect(webFiles().data).toMatchObject({ 'nginx.conf': 'bad' });
    expect(fake.find('ConfigMap', 'new')).toBeDefined();
  });

  test('goes to the number that is asked for', async () => {
    await deployTwice();
    await back();
    expect((await back({ to: 2 })).result.revision).toBe(2);
  });

  test('in a dry run tells what it would do, and does nothing', async () => {
    await deployTwice();
    fake.writes.length = 0;
    const { text } = await back({ dryRun: true });
    expect(text).toContain('Nothing was changed. A rollback of local to revision 1 would mean: 0 created, 1 configured');
    expect(text).toContain('  pruned      ConfigMap/new');
    expect(fake.writes).toEqual([]);
  });

  test('is refused before anything changes where the cluster refuses an object', async () => {
    await deployTwice();
    fake.writes.length = 0;
    fake.intercept = (method, path) =>
      method === 'PATCH' && path.endsWith('/statefulsets/redis')
        ? { status: 422, body: { reason: 'Invalid', message: 'updates to statefulset spec for fields other than … are forbidden' } }
        : undefined;
    const { ok, error } = await back();
    expect(ok).toBe(false);
    expect(error).toMatchObject({ remedy: expect.stringContaining('delete statefulset redis --cascade=orphan') });
    expect(fake.writes).toEqual([]);
  });

  test.each([
    ['Argo CD', { annotations: { 'argocd.argoproj.io/tracking-id': 'orfeas:apps/Deployment:web' } }],
    ['Argo CD', { labels: { 'argocd.argoproj.io/instance': 'orfeas' } }],
    ['Flux', { labels: { 'kustomize.toolkit.fluxcd.io/name': 'orfeas' } }],
  ])('is refused where %s would undo it, with what to do in git: %j', async (name, mark) => {
    await deployTwice();
    const web = fake.find('Deployment', 'web') as KubernetesObject;
    fake.put({ ...web, metadata: { ...web.metadata, ...mark } });
    fake.writes.length = 0;
    expect((await back()).error).toMatchObject({
      message: expect.stringContaining(`${name} manages Deployment/web`),
      remedy: expect.stringContaining('git revert'),
    });
    expect(fake.writes).toEqual([]);
  });

  test('goes on where Argo CD has let go, and the studio was deployed since', async () => {
    await deployTwice();
    const web = fake.find('Deployment', 'web') as KubernetesObject;
    const managedFields = [
      { manager: 'argocd-controller', operation: 'Apply', time: '2026-01-01T00:00:00Z', fieldsV1: {} },
      { manager: 'orfeas', operation: 'Apply', time: '2026-01-02T00:00:00Z', fieldsV1: {} },
    ];
    const annotations = { 'argocd.argoproj.io/tracking-id': 'orfeas:apps/Deployment:web' };
    fake.put({ ...web, metadata: { ...web.metadata, annotations, managedFields } });
    expect((await back()).ok).toBe(true);
  });

  test('without a former revision says so', async () => {
    await expect(back()).rejects.toMatchObject({ message: 'No deployment to orfeas-local is recorded' });
    await deploy({ ...quiet, skipBuild: true, skipTls: true }, signal);
    await expect(back()).rejects.toThrow('There is no other revision that was deployed');
    await expect(back({ to: 7 })).rejects.toMatchObject({ message: 'There is no revision 7', remedy: 'choose one of 1' });
  });

  test('lists what changed, and how it went', async () => {
    await deployTwice('failed');
    const { text, result } = await listRollbacks(quiet);
    expect(text).toMatch(/^2 +- +failed +ConfigMap\/web-files, ConfigMap\/new +backend:0\.1\.0, web:0\.1\.0$/m);
    expect(result.revisions.map(({ number, status }) => `${number} ${status}`)).toEqual(['2 failed', '1 deployed']);
  });
});
