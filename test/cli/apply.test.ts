import { applyObject, findManaged, type Managed, plan, prune, toPrune } from '../../cli/apply';
import { CommandError } from '../../cli/errors';
import type { KubernetesObject } from '../../cli/objects';
import { FakeCluster } from './fake-cluster';

const namespace = 'orfeas-local';
const labels = {
  'app.kubernetes.io/part-of': 'orfeas',
  'app.kubernetes.io/managed-by': 'cdk8s',
  'app.kubernetes.io/instance': namespace,
};

const object = (kind: string, name: string, rest: object = {}, apiVersion = 'v1'): KubernetesObject => ({
  apiVersion,
  kind,
  metadata: { name, namespace, labels },
  ...rest,
});
const namespaceObject: KubernetesObject = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };
const backend = (image: string): KubernetesObject =>
  object(
    'Deployment',
    'backend',
    {
      spec: {
        strategy: { type: 'Recreate' },
        template: { spec: { terminationGracePeriodSeconds: 360, containers: [{ name: 'api', image }] } },
      },
    },
    'apps/v1',
  );

let fake: FakeCluster;
beforeEach(async () => {
  fake = await FakeCluster.start();
});
afterEach(() => fake.stop());

describe('applying', () => {
  beforeEach(() => fake.put(namespaceObject));

  test('tells what was created, configured and left unchanged', async () => {
    const cluster = fake.connect();
    const map = (value: string) => object('ConfigMap', 'backend-env', { data: { KEY: value } });
    expect(await applyObject(cluster, map('a'))).toMatchObject({ object: 'ConfigMap/backend-env', action: 'created' });
    expect(await applyObject(cluster, map('a'))).toMatchObject({ action: 'unchanged' });
    expect(await applyObject(cluster, map('b'))).toMatchObject({ action: 'configured' });
  });

  test('is by server-side apply as orfeas, taking over fields that others have set', async () => {
    await applyObject(fake.connect(), object('ConfigMap', 'backend-env'));
    expect(fake.writes).toEqual([expect.stringMatching(/^PATCH .*\?fieldManager=orfeas&force=true$/)]);
  });

  test('sends a NetworkPolicy with the peers that it admits', async () => {
    const ingress = [{ from: [{ podSelector: { matchLabels: { 'app.kubernetes.io/name': 'web' } } }] }];
    await applyObject(
      fake.connect(),
      object('NetworkPolicy', 'web-to-backend', { spec: { podSelector: {}, ingress } }, 'networking.k8s.io/v1'),
    );
    expect(fake.find<{ spec: object }>('NetworkPolicy', 'web-to-backend')?.spec).toEqual({ podSelector: {}, ingress });
  });

  test('names the object and a way out when a field cannot be changed', async () => {
    fake.intercept = method =>
      method === 'PATCH' ? { status: 422, body: { reason: 'Invalid', message: 'spec.selector: field is immutable' } } : undefined;
    const failure = await applyObject(fake.connect(), backend('a')).catch((error: CommandError) => error);
    expect(failure).toMatchObject({
      message: 'The cluster refuses Deployment/backend: spec.selector: field is immutable',
      remedy: expect.stringContaining('delete deployment backend --cascade=orphan'),
    });
  });
});

describe('a plan', () => {
  test('changes nothing', async () => {
    fake.put(namespaceObject);
    await plan(fake.connect(), [backend('a')], namespace);
    expect(fake.writes).toEqual([]);
    expect(fake.find('Deployment', 'backend')).toBeUndefined();
  });

  test('names the fields that differ, and the drain that a replacement of pods means', async () => {
    fake.put(namespaceObject);
    fake.put(backend('a'));
    const { changes, drains } = await plan(fake.connect(), [namespaceObject, backend('b')], namespace);
    expect(changes).toEqual([
      { object: 'Namespace/orfeas-local', action: 'unchanged' },
      { object: 'Deployment/backend', action: 'configured', fields: ['spec.template.spec.containers[api].image'] },
    ]);
    expect(drains).toEqual([{ object: 'Deployment/backend', seconds: 360 }]);
  });

  test('knows no drain where pods stay', async () => {
    fake.put(namespaceObject);
    fake.put(backend('a'));
    expect((await plan(fake.connect(), [backend('a')], namespace)).drains).toEqual([]);
  });

  test('of a first deployment works before the namespace exists', async () => {
    const { changes } = await plan(fake.connect(), [namespaceObject, backend('a')], namespace);
    expect(changes.map(({ action }) => action)).toEqual(['created', 'created']);
  });

  test('tells all refusals at once', async () => {
    fake.put(namespaceObject);
    fake.intercept = (method, path) =>
      method === 'PATCH' ? { status: 403, body: { reason: 'Forbidden', message: `no ${path}` } } : undefined;
    const failure = await plan(fake.connect(), [object('ConfigMap', 'one'), object('ConfigMap', 'two')], namespace).catch(
      (error: CommandError) => error,
    );
    expect(failure).toBeInstanceOf(CommandError);
    expect((failure as Error).message).toMatch(/ConfigMap\/one[\s\S]*ConfigMap\/two/);
  });
});

describe('pruning', () => {
  const managed = (kind: string, name: string, metadata: object = {}, apiVersion = 'v1'): Managed => ({
    apiVersion,
    kind,
    metadata: { name, uid: `${kind}-${name}`, ...metadata },
  });

  test.each([
    'PersistentVolumeClaim',
    'Secret',
    'Namespace',
    'Pod',
    'ReplicaSet',
    'ControllerRevision',
    'Endpoints',
    'EndpointSlice',
    'Event',
  ])('spares every %s', kind => {
    expect(toPrune([managed(kind, 'gone')], [])).toEqual([]);
  });

  test('spares what belongs to another object, since its owner decides', () => {
    const owner = { apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', name: 'studio', uid: '1' };
    expect(toPrune([managed('Certificate', 'orfeas-tls', { ownerReferences: [owner] })], [])).toEqual([]);
  });

  test('spares what is being deleted already', () => {
    expect(toPrune([managed('ConfigMap', 'gone', { deletionTimestamp: '2026-01-01T00:00:00Z' })], [])).toEqual([]);
  });

  test('knows an object again under another version of its group', () => {
    expect(toPrune([managed('Deployment', 'web', {}, 'apps/v1beta1')], [object('Deployment', 'web', {}, 'apps/v1')])).toEqual([]);
  });

  test('tells objects of one kind in different groups apart', () => {
    const gone = managed('Ingress', 'studio', {}, 'extensions/v1');
    expect(toPrune([gone], [object('Ingress', 'studio', {}, 'networking.k8s.io/v1')])).toEqual([gone]);
  });

  test('takes an object that two groups serve once', () => {
    const twins = [managed('Widget', 'gone', { uid: '1' }, 'a.io/v1'), managed('Widget', 'gone', { uid: '1' }, 'b.io/v1')];
    expect(toPrune(twins, [])).toHaveLength(1);
  });

  test('deletes what is gone from the manifests, and nothing of others', async () => {
    fake.put(namespaceObject);
    fake.put(object('ConfigMap', 'gone'));
    fake.put(object('ConfigMap', 'kept'));
    fake.put(object('PersistentVolumeClaim', 'outputs'));
    fake.put({ ...object('ConfigMap', 'foreign'), metadata: { name: 'foreign', namespace, labels: {} } });
    const other = { name: 'other-studio', namespace, labels: { ...labels, 'app.kubernetes.io/instance': 'orfeas' } };
    fake.put({ ...object('ConfigMap', 'other-studio'), metadata: other });
    expect(await prune(fake.connect(), [object('ConfigMap', 'kept')], namespace)).toEqual([{ object: 'ConfigMap/gone', action: 'pruned' }]);
    expect(fake.writes).toEqual([`DELETE /api/v1/namespaces/${namespace}/configmaps/gone?propagationPolicy=Background`]);
  });

  test('passes over kinds that the user may not list', async () => {
    fake.put(namespaceObject);
    fake.put(object('ConfigMap', 'gone'));
    fake.intercept = (_, path) => (path.endsWith('/services') ? { status: 403, body: { reason: 'Forbidden', message: 'no' } } : undefined);
    expect((await findManaged(fake.connect(), namespace)).map(({ metadata }) => metadata.name)).toEqual(['gone']);
  });
});
