import { differences } from '../../cli/differences';

const paths = (live: unknown, wanted: unknown) => differences(live, wanted).map(({ path }) => path);

test('bookkeeping of the cluster is no difference', () => {
  const before = { metadata: { name: 'a', resourceVersion: '1', generation: 1, managedFields: [1] }, status: { replicas: 1 } };
  const after = { metadata: { name: 'a', resourceVersion: '2', generation: 2, managedFields: [2] }, status: { replicas: 2 } };
  expect(differences(before, after)).toEqual([]);
});

test('a field has its value in both', () => {
  expect(differences({ spec: { replicas: 3 } }, { spec: { replicas: 2 } })).toEqual([{ path: 'spec.replicas', live: 3, wanted: 2 }]);
});

test('a field that only one has is told without a value for the other', () => {
  expect(differences({ spec: { a: 1 } }, { spec: { b: 2 } })).toEqual([
    { path: 'spec.a', live: 1 },
    { path: 'spec.b', wanted: 2 },
  ]);
});

test('items of a list are known again by their names, wherever they are', () => {
  const live = [{ name: 'NEW' }, { name: 'A', value: '1' }];
  expect(paths({ env: live }, { env: [{ name: 'A', value: '2' }] })).toEqual(['env[NEW]', 'env[A].value']);
});

test('items of a list without names are known by their places', () => {
  expect(paths({ args: ['a', 'b'] }, { args: ['a', 'c'] })).toEqual(['args[1]']);
});

test('another order is a difference', () => {
  expect(paths({ initContainers: [{ name: 'a' }, { name: 'b' }] }, { initContainers: [{ name: 'b' }, { name: 'a' }] })).toEqual([
    'initContainers',
  ]);
});

test('a name with dots is set apart', () => {
  expect(paths({ data: { 'nginx.conf': 'a' } }, { data: { 'nginx.conf': 'b' } })).toEqual(['data[nginx.conf]']);
});
