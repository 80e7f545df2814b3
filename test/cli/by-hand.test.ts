import { findByHand, removal, withoutByHand } from '../../cli/by-hand';
import type { Cluster } from '../../cli/cluster';
import type { KubernetesObject } from '../../cli/objects';

const deployment = (container: object, managedFields: object[] = []): KubernetesObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', namespace: 'orfeas', ...(managedFields.length > 0 && { managedFields }) },
  spec: { template: { spec: { containers: [{ name: 'nginx', ...container }] } } },
});

const item = (keys: object, below: object) => ({ [`k:${JSON.stringify(keys)}`]: below });
const owns = (below: object, manager = 'kubectl-edit', more: object = {}) => ({
  manager,
  operation: 'Update',
  fieldsV1: { 'f:spec': { 'f:template': { 'f:spec': { 'f:containers': item({ name: 'nginx' }, below) } } } },
  ...more,
});
const container = ['spec', 'template', 'spec', 'containers', { name: 'nginx' }];
const a = { name: 'A', value: '1' };
const b = { name: 'B', value: '2' };
const ownsB = { 'f:env': item({ name: 'B' }, { '.': {}, 'f:name': {}, 'f:value': {} }) };

/** A cluster that has no defaults. */
const answering = (bare: KubernetesObject) => ({ patch: async () => bare }) as unknown as Cluster;
const pathsOf = async (live: KubernetesObject, manifest: KubernetesObject) => (await findByHand(answering(manifest), live, manifest)).paths;

test('an item that somebody added to a list of ours is found by its name', async () => {
  const live = deployment({ env: [b, a] }, [owns(ownsB)]);
  const manifest = deployment({ env: [a] });
  const byHand = await findByHand(answering(manifest), live, manifest);
  expect(byHand.paths).toEqual([[...container, 'env', { name: 'B' }]]);
  expect(withoutByHand(live, byHand).spec).toEqual(manifest.spec);
});

test('it is removed where it is, provided that it is still the same', () => {
  expect(removal(deployment({ env: [a, b] }), [[...container, 'env', { name: 'B' }]])).toEqual([
    { op: 'test', path: '/spec/template/spec/containers/0/env/1', value: b },
    { op: 'remove', path: '/spec/template/spec/containers/0/env/1' },
  ]);
});

test('of several items of a list each is removed from where it is by then', () => {
  const paths = ['A', 'B'].map(name => [...container, 'env', { name }]);
  const removed = removal(deployment({ env: [a, b] }), paths).filter(({ op }) => op === 'remove');
  expect(removed.map(({ path }) => path.replace(/.*env/, 'env'))).toEqual(['env/0', 'env/0']);
});

test('what the manifest says is left to it', async () => {
  expect(await pathsOf(deployment({ env: [a, b] }, [owns(ownsB)]), deployment({ env: [a, b] }))).toEqual([]);
});

test('a port whose manifest leaves the protocol to its default is that of the manifest', async () => {
  const fields = { 'f:ports': item({ containerPort: 80, protocol: 'TCP' }, { '.': {}, 'f:containerPort': {}, 'f:protocol': {} }) };
  const live = deployment({ ports: [{ containerPort: 80, protocol: 'TCP' }] }, [owns(fields)]);
  const { paths } = await findByHand(answering(live), live, deployment({ ports: [{ containerPort: 80 }] }));
  expect(paths).toEqual([]);
});

test("a state and the number of pods that a scale asks for are nobody's settings", async () => {
  const live = deployment({ env: [a, b] }, [owns(ownsB, 'kubectl', { subresource: 'scale' })]);
  expect(await pathsOf(live, deployment({ env: [a] }))).toEqual([]);
});

test('of a claim only labels and annotations can be set by hand', async () => {
  const fieldsV1 = {
    'f:spec': { 'f:storageClassName': {} },
    'f:metadata': { 'f:finalizers': { 'v:"x"': {} }, 'f:labels': { 'f:team': {} } },
  };
  const live: KubernetesObject = {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: 'outputs', labels: { team: 'blue' }, finalizers: ['x'], managedFields: [{ manager: 'kubectl', fieldsV1 }] },
    spec: { storageClassName: 'standard' },
  };
  const manifest = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'outputs' }, spec: {} };
  expect(await pathsOf(live, manifest)).toEqual([['metadata', 'labels', 'team']]);
});

test('what others note at the namespace is theirs', async () => {
  const fieldsV1 = { 'f:metadata': { 'f:labels': { 'f:team': {} } } };
  const metadata = { name: 'orfeas', labels: { team: 'blue' }, managedFields: [{ manager: 'kubectl-label', fieldsV1 }] };
  const live: KubernetesObject = { apiVersion: 'v1', kind: 'Namespace', metadata };
  expect(await pathsOf(live, { ...live, metadata: { name: 'orfeas' } })).toEqual([]);
});
