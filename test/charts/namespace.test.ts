import { find, manifestsOf, settingsOf } from '../support';

interface Container {
  readonly restartPolicy?: string;
  readonly resources: Record<'requests' | 'limits', Record<'cpu' | 'memory' | 'ephemeral-storage', string>>;
}

interface Pod {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
}

/** In MiB, or in units. */
const amount = (quantity: string): number =>
  Number.parseFloat(quantity) * (quantity.endsWith('Gi') ? 1024 : quantity.endsWith('m') ? 0.001 : 1);

const jobPodsOf = (manifests: ReturnType<typeof manifestsOf>) =>
  manifests.filter(({ kind }) => kind === 'CronJob').map(({ spec }) => spec.jobTemplate.spec.template.spec);

/** What Kubernetes counts for a pod: its containers and sidecars, or one that runs before them if that takes more. */
function takenBy({ containers, initContainers = [] }: Pod, of: (container: Container) => number): number {
  const sidecars = initContainers.filter(({ restartPolicy }) => restartPolicy === 'Always');
  const before = initContainers.filter(({ restartPolicy }) => restartPolicy !== 'Always');
  const sum = (list: readonly Container[]) => list.reduce((total, container) => total + of(container), 0);
  return sum(sidecars) + Math.max(sum(containers), ...before.map(container => sum([container])));
}

test.each(['local', 'staging', 'production'] as const)(
  'the quota of %s has room for all pods, those of jobs and of a rolling update included',
  name => {
    const manifests = manifestsOf(settingsOf(name));
    const hard = find(manifests, 'ResourceQuota', 'orfeas').spec.hard;
    const pods = [
      ...manifests
        .filter(({ kind }) => kind === 'Deployment' || kind === 'StatefulSet')
        .flatMap(({ spec }) => Array(spec.replicas + (spec.strategy?.type === 'RollingUpdate' ? 1 : 0)).fill(spec.template.spec)),
      ...jobPodsOf(manifests),
    ];
    for (const [kind, resource] of [
      ['requests', 'cpu'],
      ['requests', 'memory'],
      ['limits', 'cpu'],
      ['limits', 'memory'],
      ['limits', 'ephemeral-storage'],
    ] as const) {
      const total = pods.reduce((sum, pod) => sum + takenBy(pod, ({ resources }) => amount(resources[kind][resource])), 0);
      expect(amount(hard[`${kind}.${resource}`])).toBeGreaterThan(total);
    }
    expect(Number(hard.pods)).toBeGreaterThan(pods.length);
  },
);

test('local asks for at most 1 CPU and 3 GiB, with all jobs at work', () => {
  const manifests = manifestsOf(settingsOf('local'));
  const pods = [
    ...manifests
      .filter(({ kind }) => kind === 'Deployment' || kind === 'StatefulSet')
      .flatMap(({ spec }) => Array(spec.replicas).fill(spec.template.spec)),
    ...jobPodsOf(manifests),
  ];
  const sum = (resource: 'cpu' | 'memory') =>
    pods.reduce((total, pod) => total + takenBy(pod, ({ resources }) => amount(resources.requests[resource])), 0);
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
