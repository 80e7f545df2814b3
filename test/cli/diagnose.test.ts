import { claimProblems, describeProblem, type Observation, type Problem, podProblems, workloadProblems } from '../../cli/diagnose';
import type { Claim, Event, Pod } from '../../cli/objects';
import type { Workload } from '../../cli/rollout';

type ContainerStatus = NonNullable<NonNullable<Pod['status']>['containerStatuses']>[number];

const IMAGE = 'localhost/orfeas/backend:0.1.0';

const container = (status: Partial<ContainerStatus>): ContainerStatus => ({
  name: 'worker',
  image: IMAGE,
  imageID: '',
  ready: false,
  restartCount: 0,
  ...status,
});

const pod = (status: Partial<NonNullable<Pod['status']>>, metadata: Partial<Pod['metadata']> = {}): Pod => ({
  metadata: { name: 'backend-1', labels: { 'app.kubernetes.io/name': 'backend' }, ...metadata },
  spec: { nodeName: 'node-1', containers: [{ name: 'worker', resources: { limits: { memory: '2Gi' } } }] },
  status: { phase: 'Pending', ...status },
});

const event = (
  reason: string,
  message: string,
  object: Event['involvedObject'] = { kind: 'Pod', name: 'backend-1' },
  type = 'Warning',
): Event => ({
  metadata: { name: reason },
  involvedObject: object,
  reason,
  message,
  type,
  lastTimestamp: '2026-01-01T00:00:00Z',
});

const unscheduled = (message: string): Pod =>
  pod({ conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message }] });

const one = (problems: readonly Problem[]): Problem => {
  expect(problems).toHaveLength(1);
  return problems[0] as Problem;
};

const of = (subject: Pod, ...events: readonly Event[]): Problem => one(podProblems(subject, { events }));

test('a ready pod has no problem', () => {
  expect(podProblems(pod({ phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] }), { events: [] })).toEqual([]);
});

describe('a pod that no node takes', () => {
  test.each([
    ['0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1 nodes are available.', /^give a node nvidia\.com\/gpu \(/],
    ['0/3 nodes are available: 3 Insufficient nvidia.com/mig-1g.10gb.', /^give a node nvidia\.com\/mig-1g\.10gb \(/],
    ['0/1 nodes are available: 1 Insufficient memory.', /free memory/],
    ['0/1 nodes are available: 1 Insufficient cpu.', /free cpu/],
    ['0/2 nodes are available: 2 node(s) had untolerated taint {gpu: true}.', /gpu\.tolerations/],
    ["0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.", /gpu\.nodeSelector/],
    ['0/1 nodes are available: 1 node(s) had volume node affinity conflict.', /lives on a node/],
    ['0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.', /not bound/],
    ['persistentvolumeclaim "outputs" not found', /claim outputs/],
  ])('because of "%s" gets the remedy for it', (message, remedy) => {
    const problem = of(unscheduled(message));
    expect(problem).toMatchObject({ object: 'Pod/backend-1', reason: 'Unschedulable', message, hopelessAfterSeconds: 60 });
    expect(problem.remedy).toMatch(remedy);
  });

  test('is not given up while an autoscaler brings a node', () => {
    const problem = of(
      unscheduled('0/1 nodes are available: 1 Insufficient nvidia.com/gpu.'),
      event('TriggeredScaleUp', 'pod triggered scale-up', undefined, 'Normal'),
    );
    expect(problem.hopelessAfterSeconds).toBeUndefined();
    expect(problem.remedy).toMatch(/on its way/);
  });
});

describe('a pod that waits for clones', () => {
  const template = (source?: object) => ({ spec: { accessModes: ['ReadWriteOnce'], resources: {}, ...source } });
  const waiting = (message: string, source: object | undefined = { dataSource: { kind: 'PersistentVolumeClaim', name: 'outputs' } }) => {
    const pod = unscheduled(message);
    const volumes = [{ name: 'outputs', ephemeral: { volumeClaimTemplate: template(source) } }];
    return { ...pod, spec: { ...pod.spec, volumes } } as Pod;
  };
  const message = 'waiting for ephemeral volume controller to create the persistentvolumeclaim "backend-1-outputs"';

  test.each([
    message,
    'running PreFilter plugin "VolumeBinding": error getting PVC "orfeas/backend-1-outputs": could not find v1.PersistentVolumeClaim',
    '0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.',
    'running PreBind plugin "VolumeBinding": binding volumes: context deadline exceeded',
  ])('has an hour for it, although the scheduler says: %s', said => {
    expect(of(waiting(said))).toMatchObject({ reason: 'Cloning', message: 'its volumes are being cloned', hopelessAfterSeconds: 3600 });
  });
  test('tells what its storage class says of one', () => {
    const claim = { kind: 'PersistentVolumeClaim', name: 'backend-1-outputs' };
    const problem = of(
      waiting(message),
      event('ProvisioningFailed', 'the driver does not clone', claim),
      event('ExternalProvisioning', 'waiting', claim, 'Normal'),
    );
    expect(problem.message).toBe('the driver does not clone');
    expect(problem.remedy).toContain("set backup.readFrom back to 'volumes'");
  });
  test('is told to wait for those of an earlier backup, which the quota counts', () => {
    const problem = of(waiting(message), event('FailedBinding', 'ephemeral volume outputs: create PVC: forbidden: exceeded quota: orfeas'));
    expect(problem.message).toContain('exceeded quota');
    expect(problem.remedy).toMatch(/^wait/);
  });
  test('is like any other where it is no clone, or no volume that it waits for', () => {
    expect(of(waiting(message, {}))).toMatchObject({ message, hopelessAfterSeconds: 60 });
    expect(of(waiting('0/1 nodes are available: 1 Insufficient cpu.')).remedy).toMatch(/free cpu/);
  });
});

describe('an image that cannot be pulled', () => {
  const waiting = (reason: string, message = '') => pod({ containerStatuses: [container({ state: { waiting: { reason, message } } })] });

  test('is explained by the event before the back-off, since the back-off only says that it waits', () => {
    const failure = `Failed to pull image "${IMAGE}": rpc error: code = NotFound desc = ${IMAGE}: not found`;
    const problem = of(waiting('ImagePullBackOff', `Back-off pulling image "${IMAGE}"`), event('Failed', failure));
    expect(problem).toMatchObject({ containers: ['worker'], reason: 'ImagePullBackOff', hopelessAfterSeconds: 20 });
    expect(problem.message).toContain('NotFound');
    expect(problem.remedy).toMatch(/build the image/);
  });

  test('has one reason, whether it is being tried or waited for', () => {
    expect(of(waiting('ErrImagePull', 'not found')).reason).toBe(of(waiting('ImagePullBackOff', 'not found')).reason);
  });

  test.each([
    ['unauthorized: authentication required', /images\.pullSecrets/],
    ['dial tcp: lookup registry.example.org: no such host', /reach the registry/],
  ])('because of "%s" gets the remedy for it', (message, remedy) => {
    expect(of(waiting('ErrImagePull', message)).remedy).toMatch(remedy);
  });

  test('and must not be pulled is soon hopeless', () => {
    expect(of(waiting('ErrImageNeverPull', 'not present with pull policy of Never'))).toMatchObject({
      hopelessAfterSeconds: 10,
      remedy: expect.stringMatching(/load the image/),
    });
  });
});

describe('a container that cannot be configured', () => {
  const waiting = (message: string) =>
    pod({ containerStatuses: [container({ state: { waiting: { reason: 'CreateContainerConfigError', message } } })] });

  test.each([
    ['secret "orfeas-app" not found', 'make it: orfeas secrets'],
    ['secret "on-call" not found', 'make it: a setting names it, and orfeas deploy tells which keys it has'],
    ['secret "orfeas-tls" not found', 'make it: orfeas tls'],
    [
      'MountVolume.SetUp failed for volume "orfeas-redis" : references non-existent secret key: password',
      'add password to the Secret orfeas-redis: orfeas secrets',
    ],
    ['configmap "backend-env" not found', 'apply the manifests again: orfeas deploy'],
    ['container has runAsNonRoot and image will run as root', 'build the image with a numeric USER other than 0'],
  ])('because of "%s" gets the remedy for it', (message, remedy) => {
    expect(of(waiting(message))).toMatchObject({ reason: 'CreateContainerConfigError', message, remedy, hopelessAfterSeconds: 10 });
  });
});

describe('a container that ends', () => {
  const ended = (exitCode: number, reason = 'Error') => ({ terminated: { exitCode, reason, containerID: '', message: '' } });
  const crashing = (restartCount: number, exitCode: number, reason?: string) =>
    pod({
      containerStatuses: [
        container({ restartCount, state: { waiting: { reason: 'CrashLoopBackOff' } }, lastState: ended(exitCode, reason) }),
      ],
    });

  test('again and again is hopeless after three restarts, and its previous run said why', () => {
    expect(of(crashing(3, 1))).toMatchObject({
      reason: 'CrashLoopBackOff',
      message: 'it ended with exit code 1, restarted 3 time(s)',
      hopelessAfterSeconds: 10,
      logs: { pod: 'backend-1', container: 'worker', previous: true },
    });
  });

  test('once may come up yet', () => {
    expect(of(crashing(1, 1)).hopelessAfterSeconds).toBeUndefined();
  });

  test('for want of memory names its limit', () => {
    expect(of(crashing(1, 137, 'OOMKilled'))).toMatchObject({ reason: 'OOMKilled', message: expect.stringContaining('limit of 2Gi') });
  });

  test('since its command is missing says so', () => {
    expect(of(crashing(1, 127)).message).toContain('its command is not in the image');
  });

  test('and has not been restarted yet has its lines in the present run', () => {
    const problem = of(pod({ containerStatuses: [container({ state: ended(1) })] }));
    expect(problem.logs?.previous).toBe(false);
  });

  test('because its init container failed is named by that', () => {
    const problem = of(pod({ initContainerStatuses: [container({ name: 'prepare', state: ended(2) })] }));
    expect(problem).toMatchObject({ containers: ['prepare'], message: expect.stringContaining('exit code 2') });
  });
});

describe('a container that runs and is not ready', () => {
  test('while it starts tells what its probe sees', () => {
    const probe = event('Unhealthy', 'Startup probe failed: HTTP probe failed with statuscode: 503', {
      kind: 'Pod',
      name: 'backend-1',
      fieldPath: 'spec.containers{worker}',
    });
    const problem = of(pod({ phase: 'Running', containerStatuses: [container({ started: false, state: { running: {} } })] }), probe);
    expect(problem).toMatchObject({ reason: 'Starting', message: expect.stringContaining('503') });
    expect(problem.hopelessAfterSeconds).toBeUndefined();
  });

  test('is not explained by the probe of its neighbour', () => {
    const probe = event('Unhealthy', 'Readiness probe failed', { kind: 'Pod', name: 'backend-1', fieldPath: 'spec.containers{api}' });
    expect(of(pod({ containerStatuses: [container({ started: true, state: { running: {} } })] }), probe).message).toBe(
      'it does not answer its readiness probe',
    );
  });

  test('after a restart by its liveness probe tells of both', () => {
    const probe = event('Unhealthy', 'Liveness probe failed: timeout');
    const status = container({
      started: false,
      restartCount: 2,
      state: { running: {} },
      lastState: { terminated: { exitCode: 137, containerID: '' } },
    });
    expect(of(pod({ containerStatuses: [status] }), probe)).toMatchObject({
      reason: 'Restarting',
      message: expect.stringMatching(/137.*Liveness probe failed/),
    });
  });
});

describe('a pod that is in trouble otherwise', () => {
  test('waits for a volume that another node holds', () => {
    const problem = of(pod({}), event('FailedAttachVolume', 'Multi-Attach error for volume "pvc-1"'));
    expect(problem).toMatchObject({ reason: 'FailedAttachVolume', remedy: expect.stringContaining('old pod') });
  });

  test('waits for a Secret that it mounts', () => {
    const problem = of(pod({}), event('FailedMount', 'MountVolume.SetUp failed for volume "tls" : secret "orfeas-tls" not found'));
    expect(problem.remedy).toBe('make it: orfeas tls');
  });

  test('was evicted', () => {
    expect(of(pod({ phase: 'Failed', reason: 'Evicted', message: 'The node was low on resource: memory.' }))).toMatchObject({
      reason: 'Evicted',
    });
  });

  test('is on a node that is lost', () => {
    const lost = pod({ phase: 'Running', conditions: [{ type: 'Ready', status: 'Unknown', reason: 'NodeStatusUnknown' }] });
    expect(of(lost)).toMatchObject({ reason: 'NodeLost', message: expect.stringContaining('node-1') });
  });

  test('stops, and may take its time for that', () => {
    const stopping = pod({ phase: 'Running' }, { deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 360 });
    expect(of(stopping)).toMatchObject({ reason: 'Terminating', message: expect.stringContaining('360 s') });
  });
});

describe('a claim', () => {
  const claim = (phase: string): Claim => ({ metadata: { name: 'outputs' }, spec: {}, status: { phase } });
  const about = { kind: 'PersistentVolumeClaim', name: 'outputs' };

  test('that is bound has no problem', () => {
    expect(claimProblems(claim('Bound'), { events: [] })).toEqual([]);
  });

  test('that cannot be provisioned tells why', () => {
    const events = [event('ProvisioningFailed', 'storageclass.storage.k8s.io "fast" not found', about)];
    expect(one(claimProblems(claim('Pending'), { events }))).toMatchObject({
      reason: 'ProvisioningFailed',
      remedy: expect.stringContaining('storage class'),
    });
  });

  test('that waits for its first pod is no fault', () => {
    const events = [event('WaitForFirstConsumer', 'waiting for first consumer to be created before binding', about, 'Normal')];
    expect(one(claimProblems(claim('Pending'), { events })).remedy).toMatch(/first pod/);
  });

  test('whose volume is gone is lost', () => {
    expect(one(claimProblems(claim('Lost'), { events: [] })).remedy).toMatch(/backup/);
  });
});

describe('a workload without pods', () => {
  const workload = (kind: Workload['kind'], status: object = {}): Workload =>
    ({
      apiVersion: 'apps/v1',
      kind,
      metadata: { name: 'backend' },
      spec: { selector: { matchLabels: { 'app.kubernetes.io/name': 'backend' } }, template: { spec: { containers: [] } } },
      status,
    }) as Workload;
  const nothing: Observation = { pods: [], claims: [], events: [] };

  test('that a quota forbids says which', () => {
    const message = 'pods "backend-1" is forbidden: exceeded quota: studio, requested: limits.memory=4Gi';
    const conditions = [{ type: 'ReplicaFailure', status: 'True', reason: 'FailedCreate', message }];
    expect(one(workloadProblems(workload('Deployment', { conditions }), nothing))).toMatchObject({
      reason: 'FailedCreate',
      message,
      remedy: expect.stringContaining('quota'),
    });
  });

  test('that Pod Security forbids says so', () => {
    const events = [
      event('FailedCreate', 'create Pod redis-0 failed: violates PodSecurity "restricted:latest"', {
        kind: 'StatefulSet',
        name: 'backend',
      }),
    ];
    expect(one(workloadProblems(workload('StatefulSet'), { ...nothing, events })).remedy).toMatch(/restricted/);
  });

  test('is being started when nothing speaks against it', () => {
    expect(one(workloadProblems(workload('Deployment'), nothing)).reason).toBe('Starting');
  });
});

test('a broken pod of an older revision is told to be in the way of its StatefulSet', () => {
  const redis = {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name: 'redis' },
    spec: { selector: { matchLabels: { 'app.kubernetes.io/name': 'redis' } }, template: { spec: { containers: [] } } },
    status: { updateRevision: 'redis-2' },
  } as unknown as Workload;
  const labels = { 'app.kubernetes.io/name': 'redis', 'controller-revision-hash': 'redis-1' };
  const stuck = pod({}, { name: 'redis-0', namespace: 'orfeas', labels });
  expect(one(workloadProblems(redis, { pods: [stuck], claims: [], events: [] }))).toMatchObject({
    reason: 'Stuck',
    remedy: 'delete it, its data stays: kubectl --namespace orfeas delete pod redis-0',
  });
});

test('a problem reads as where, what, why, and what to do', () => {
  const problem: Problem = {
    object: 'Pod/backend-1',
    containers: ['api', 'worker'],
    reason: 'NotReady',
    message: 'it does not answer',
    remedy: 'wait',
  };
  expect(describeProblem(problem)).toBe('Pod/backend-1 (api, worker) is NotReady: it does not answer\n  → wait');
});
