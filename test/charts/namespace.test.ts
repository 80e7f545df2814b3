import { find, manifestsOf, settingsOf } from '../support';

/** In MiB, or in units. */
const amount = (quantity: string): number =>
  Number.parseFloat(quantity) * (quantity.endsWith('Gi') ? 1024 : quantity.endsWith('m') ? 0.001 : 1);

test.each(['local', 'staging', 'production'] as const)(
  'the quota of %s has room for all pods, the one of a rolling update included',
  name => {
    const manifests = manifestsOf(settingsOf(name));
    const hard = find(manifests, 'ResourceQuota', 'orfeas').spec.hard;
    const pods = manifests
      .filter(({ kind }) => kind === 'Deployment' || kind === 'StatefulSet')
      .flatMap(({ spec }) => Array(spec.replicas + (spec.strategy?.type === 'RollingUpdate' ? 1 : 0)).fill(spec.template.spec));
    for (const [kind, resource] of [
      ['requests', 'cpu'],
      ['requests', 'memory'],
      ['limits', 'cpu'],
      ['limits', 'memory'],
      ['limits', 'ephemeral-storage'],
    ] as const) {
      const total = pods.flatMap(({ containers }) => containers).reduce((sum, { resources }) => sum + amount(resources[kind][resource]), 0);
      expect(amount(hard[`${kind}.${resource}`])).toBeGreaterThan(total);
    }
    expect(Number(hard.pods)).toBeGreaterThan(pods.length);
  },
);

test('local asks for at most 1 CPU and 3 GiB', () => {
  const containers = manifestsOf(settingsOf('local'))
    .filter(({ kind }) => kind === 'Deployment' || kind === 'StatefulSet')
    .flatMap(({ spec }) => Array(spec.replicas).fill(spec.template.spec.containers).flat());
  const sum = (resource: string) => containers.reduce((total, { resources }) => total + amount(resources.requests[resource]), 0);
  expect(sum('cpu')).toBeLessThanOrEqual(1);
  expect(sum('memory')).toBeLessThanOrEqual(3 * 1024);
});

test('the quota allows the GPUs of the backend, and no load balancer', () => {
  expect(find(manifestsOf(settingsOf('production')), 'ResourceQuota', 'orfeas').spec.hard).toMatchObject({
    'requests.nvidia.com/gpu': '1',
    'services.loadbalancers': '0',
    'services.nodeports': '0',
  });
});
