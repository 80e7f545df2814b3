import type { KubernetesObject } from '../../cli/objects';
import { isRolledOut, type Workload, waitForRollouts } from '../../cli/rollout';
import { FakeCluster } from './fake-cluster';

const namespace = 'orfeas-local';

const workload = (kind: Workload['kind'], status: object, generation = 2): Workload =>
  ({
    apiVersion: 'apps/v1',
    kind,
    metadata: { name: 'backend', namespace, generation },
    spec: {
      replicas: 1,
      progressDeadlineSeconds: 700,
      selector: { matchLabels: { name: 'backend' } },
      template: { spec: { containers: [] } },
    },
    status,
  }) as Workload;

const settled = { observedGeneration: 2, replicas: 1, readyReplicas: 1, availableReplicas: 1, updatedReplicas: 1 };

describe('a rollout is over', () => {
  test.each(['Deployment', 'StatefulSet'] as const)('when a %s runs what it asks for', kind => {
    expect(isRolledOut(workload(kind, settled))).toBe(true);
  });

  test('when a StatefulSet has one revision, though it counts no updated pods', () => {
    expect(isRolledOut(workload('StatefulSet', { ...settled, updatedReplicas: 0, currentRevision: 'a', updateRevision: 'a' }))).toBe(true);
  });

  test.each<[string, object]>([
    ['before the controller has seen the change', { observedGeneration: 1 }],
    ['while an old pod is left', { replicas: 2 }],
    ['while the pod is old', { updatedReplicas: 0 }],
    ['while the pod is not ready', { readyReplicas: 0, availableReplicas: 0 }],
  ])('but not %s', (_, status) => {
    expect(isRolledOut(workload('Deployment', { ...settled, ...status }))).toBe(false);
  });
});

describe('waiting', () => {
  let fake: FakeCluster;
  beforeEach(async () => {
    fake = await FakeCluster.start();
    fake.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  });
  afterEach(() => fake.stop());

  const put = (object: object) => fake.put(object as KubernetesObject);
  const wait = (object: Workload, signal = new AbortController().signal, onProgress: (text: string) => void = () => {}) =>
    waitForRollouts(fake.connect(), { namespace, workloads: [object as unknown as KubernetesObject], signal, onProgress });
  const pod = (status: object) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'backend-1', namespace, labels: { name: 'backend' } },
    spec: {},
    status,
  });
  const crashed = {
    name: 'api',
    ready: false,
    restartCount: 3,
    image: 'a',
    imageID: '',
    state: { waiting: { reason: 'CrashLoopBackOff' } },
    lastState: { terminated: { exitCode: 1, containerID: '' } },
  };

  test('ends at once when everything runs', async () => {
    put(workload('Deployment', settled));
    await wait(workload('Deployment', settled));
  });

  test('ends when the last pod has come', async () => {
    put(workload('Deployment', {}));
    await wait(workload('Deployment', {}), undefined, () => put(workload('Deployment', settled)));
  });

  test('fails soon, with the last lines of the container, when it crashes again and again', async () => {
    put(workload('Deployment', {}));
    put(pod({ containerStatuses: [crashed] }));
    await expect(wait(workload('Deployment', {}))).rejects.toThrow(
      /Pod\/backend-1 \(api\) is CrashLoopBackOff: it ended with exit code 1[\s\S]*│ the last line/,
    );
  }, 30_000);

  test('fails when the controller gives this rollout up', async () => {
    const conditions = [
      { type: 'Progressing', status: 'False', reason: 'ProgressDeadlineExceeded', lastUpdateTime: '2999-01-01T00:00:00Z' },
    ];
    put(workload('Deployment', { observedGeneration: 2, conditions }));
    await expect(wait(workload('Deployment', {}))).rejects.toThrow('Deployment/backend did not become ready');
  });

  test('goes on although an earlier rollout was given up', async () => {
    const conditions = [
      { type: 'Progressing', status: 'False', reason: 'ProgressDeadlineExceeded', lastUpdateTime: '2000-01-01T00:00:00Z' },
    ];
    put(workload('Deployment', { observedGeneration: 2, conditions }));
    await wait(workload('Deployment', {}), undefined, () => put(workload('Deployment', settled)));
  });

  test('tells what it waits for', async () => {
    const seen: string[] = [];
    put(workload('Deployment', {}));
    put(
      pod({ conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '1 Insufficient nvidia.com/gpu' }] }),
    );
    await wait(workload('Deployment', {}), undefined, text => {
      seen.push(text);
      put(workload('Deployment', settled));
    });
    expect(seen).toEqual(['backend 0/1\nPod/backend-1 Unschedulable: 1 Insufficient nvidia.com/gpu']);
  });

  test('stops with an interrupt', async () => {
    const interrupt = new AbortController();
    put(workload('Deployment', {}));
    await expect(wait(workload('Deployment', {}), interrupt.signal, () => interrupt.abort())).rejects.toThrow(/abort/i);
  });

  test('fails when somebody deletes the workload meanwhile', async () => {
    await expect(wait(workload('Deployment', {}))).rejects.toThrow('Deployment/backend is gone');
  });
});
