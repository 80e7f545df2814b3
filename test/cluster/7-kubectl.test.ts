import { kubectl, namespace, orfeas, removeNamespace, rolledOut } from './support';

test('kubectl apply -f dist/local alone comes up, once orfeas secrets and orfeas tls have made the Secrets', async () => {
  await removeNamespace(namespace);
  expect((await orfeas(['secrets', '--env', 'local'])).code).toBe(0);
  expect((await orfeas(['tls', '--env', 'local'])).code).toBe(0);
  await kubectl(['apply', '-f', 'dist/local']);
  await rolledOut();
  const { code, stderr } = await orfeas(['smoke', '--env', 'local']);
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
});

test('secrets and certificate are made once: a second time changes nothing', async () => {
  const versions = () =>
    kubectl(['-n', namespace, 'get', 'secrets', '-o', 'jsonpath={range .items[*]}{.metadata.name}={.metadata.resourceVersion} {end}']);
  const before = (await versions()).toString();
  expect((await orfeas(['secrets', '--env', 'local'])).code).toBe(0);
  expect((await orfeas(['tls', '--env', 'local'])).code).not.toBe(0);
  expect((await versions()).toString()).toBe(before);
});
