import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RestoreOptions, restore } from '../../cli/commands/restore';
import { CommandError } from '../../cli/errors';
import { checkHealth } from '../../cli/health';
import { manifests } from '../../cli/manifests';
import type { Job, KubernetesObject } from '../../cli/objects';
import { isWorkload, type Workload } from '../../cli/rollout';
import { loadSettings } from '../../config';
import { FakeCluster } from './fake-cluster';
import { FakeJobs, type Performance } from './fake-jobs';
import { FakeRepository } from './fake-repository';
import { exported, writeZip, zippedName } from './zip-files';

jest.mock('../../cli/health', () => ({ checkHealth: jest.fn() }));

const namespace = 'orfeas-local';
const signal = new AbortController().signal;
const name = 'orfeas_backup_20260101_030000';
const latest: RestoreOptions = { env: 'local', json: true, snapshot: 'latest', force: true };
const undo: RestoreOptions = { env: 'local', json: true, undo: true, force: true };
const everyone = manifests(loadSettings('local'))
  .flatMap(({ objects }) => objects)
  .filter(isWorkload);

const manifest = {
  format: 1,
  name,
  created: '2026-01-01T03:00:00Z',
  namespace,
  environment: 'local',
  version: '0.1.0',
  parts: {
    outputs: { paths: {}, files: 7, bytes: 3 * 2 ** 30 },
    models: { paths: {}, files: 2, bytes: 2 ** 30 },
    redis: { paths: {}, files: 1, bytes: 1000 },
    configuration: { paths: {}, files: 1, bytes: 100 },
  },
  missing: { monitoring: 'Prometheus does not answer' },
};

let fake: FakeCluster;
let jobs: FakeJobs;
let folder: string;
/** What the Jobs of CronJob/restore do, one after the other; the last of them again and again. */
let performances: Performance[];
let repository: Performance;
let objects: object[];

const stage = { phase: 'stage', owner: 'backend', part: 'outputs', status: 'done' };
const commit = { phase: 'commit', owner: 'backend', part: 'outputs', status: 'started' };
const success: Performance = { logs: { 'stage-backend': [stage], 'commit-backend': [commit] } };

beforeEach(async () => {
  fake = await FakeCluster.start();
  fake.controllers = true;
  jobs = new FakeJobs(fake, namespace);
  for (const workload of everyone) fake.put(workload);
  performances = [success];
  repository = { logs: { repository: [{ manifest, id: '8a3f' }] } };
  objects = [];
  jobs.perform = (cronJob, job) => {
    if (cronJob === 'restore') return (performances.length > 1 ? performances.shift() : performances[0]) as Performance;
    const [command] = job.spec?.template.spec?.containers[0]?.args ?? [];
    return command === 'objects' ? { logs: { repository: [objects] } } : repository;
  };
  jest.mocked(checkHealth).mockReset().mockResolvedValue();
  folder = mkdtempSync(join(tmpdir(), 'orfeas-'));
  process.env.KUBECONFIG = join(folder, 'kubeconfig');
  writeFileSync(process.env.KUBECONFIG, fake.kubeconfig);
});
afterEach(async () => {
  jest.restoreAllMocks();
  delete process.env.KUBECONFIG;
  rmSync(folder, { recursive: true });
  await fake.stop();
});

const replicas = (workload: string): number | undefined => {
  const [kind = '', object = ''] = workload.split('/');
  return fake.find<Workload>(kind, object)?.spec?.replicas;
};
const scale = (workload: string, count: number): void => {
  const [kind = '', object = ''] = workload.split('/');
  const live = fake.find(kind, object) as KubernetesObject;
  fake.put({ ...live, spec: { ...(live.spec as object), replicas: count } });
};
const allRun = (): boolean => everyone.every(({ kind, metadata }) => (replicas(`${kind}/${metadata.name}`) ?? 1) > 0);
const variables = (job: Job | undefined): Record<string, string | undefined> =>
  Object.fromEntries(job?.spec?.template.spec?.containers[0]?.env?.map(({ name: key, value }) => [key, value]) ?? []);
const actions = (): string[] => jobs.of('restore').map(job => variables(job).RESTORE_ACTION ?? '');
const steps = (results: readonly { name: string; status: string }[]): string[] => results.map(each => `${each.name} ${each.status}`);
/** What a Job of an earlier command looks like. */
const order = (parts: string, action = 'restore', snapshot = name) => ({
  env: { RESTORE_ACTION: action, RESTORE_SNAPSHOT: snapshot, RESTORE_PARTS: parts, RESTORE_ID: '20260101_100000' },
});
const concluded = { annotations: { 'orfeas/concluded': '2026-01-01T11:00:00Z' } };

describe('a restore', () => {
  test('stops what writes, restores the data, starts what it stopped, and asks the studio', async () => {
    let stopped: (number | undefined)[] = [];
    const perform = jobs.perform;
    jobs.perform = (cronJob, job) => {
      if (cronJob === 'restore') stopped = ['StatefulSet/redis', 'Deployment/backend', 'StatefulSet/prometheus'].map(replicas);
      return perform(cronJob, job);
    };
    const { ok, result, text, error } = await restore(latest, signal);
    expect(error).toBeUndefined();
    expect(ok).toBe(true);
    expect(steps(result.steps)).toEqual([
      'check done',
      'inspect done',
      'stop done',
      'restore done',
      'configuration skipped',
      'start done',
      'health done',
    ]);
    expect(stopped).toEqual([0, 0, 1]);
    expect(allRun()).toBe(true);
    expect(result).toMatchObject({ snapshot: name, parts: ['outputs', 'models', 'redis'], rolledBack: false, dryRun: false });
    expect(text).toMatch(/^orfeas_backup_20260101_030000 is restored: outputs, models, redis\n/);
    expect(checkHealth).toHaveBeenCalledTimes(1);
  });

  test('tells every container of its Job what to do', async () => {
    const { result } = await restore(latest, signal);
    const [job] = jobs.of('restore');
    const { initContainers = [], containers = [] } = job?.spec?.template.spec ?? {};
    expect([...initContainers, ...containers]).toHaveLength(4);
    for (const { env } of [...initContainers, ...containers]) {
      expect(env).toEqual([
        { name: 'NAMESPACE', value: namespace },
        { name: 'RESTORE_ACTION', value: 'restore' },
        { name: 'RESTORE_SNAPSHOT', value: name },
        { name: 'RESTORE_PARTS', value: 'outputs,models,redis' },
        { name: 'RESTORE_ID', value: result.id },
      ]);
    }
    expect(result.id).toMatch(/^\d{8}_\d{6}$/);
    expect(job?.spec).not.toHaveProperty('ttlSecondsAfterFinished');
  });

  test('starts Redis before the backend', async () => {
    await restore(latest, signal);
    const scaled = fake.writes.filter(write => write.startsWith('PATCH /apis/apps')).map(write => write.match(/(redis|backend)/)?.[0]);
    expect(scaled.slice(-2)).toEqual(['redis', 'backend']);
  });

  test('of chosen parts stops those who write to them alone', async () => {
    const { result } = await restore({ ...latest, parts: ['outputs'] }, signal);
    expect(result.parts).toEqual(['outputs']);
    expect(fake.writes.some(write => write.includes('/statefulsets/'))).toBe(false);
  });

  test('leaves the models as they are when told to', async () => {
    expect((await restore({ ...latest, skipModels: true }, signal)).result.parts).toEqual(['outputs', 'redis']);
  });

  test('in a dry run tells what it would do, and does nothing', async () => {
    const { ok, result, text } = await restore({ ...latest, force: false, dryRun: true }, signal);
    expect(ok).toBe(true);
    expect(result).not.toHaveProperty('id');
    expect(text).toMatch(/outputs +7 +3\.0 GiB/);
    expect(text).toContain('It lacks monitoring (Prometheus does not answer).');
    expect(text).toContain('Meanwhile these stop: StatefulSet/redis, Deployment/backend.');
    expect(jobs.of('restore')).toEqual([]);
    expect(allRun()).toBe(true);
  });

  test('asks nobody who cannot answer', async () => {
    await expect(restore({ ...latest, force: false }, signal)).rejects.toMatchObject({ remedy: expect.stringContaining('--force') });
    expect(jobs.of('restore')).toEqual([]);
  });
});

describe('what cannot be restored is refused before anything is touched', () => {
  const untouched = (): void => {
    expect(jobs.of('restore')).toEqual([]);
    expect(fake.writes.filter(write => write.startsWith('PATCH'))).toEqual([]);
  };

  test.each(['repository-missing', 'wrong-password', 'damaged', 'locked', 'snapshot-missing', 'newer-format', 'unreachable', 'failed'])(
    'by the repository: %s',
    async code => {
      repository = { state: 'failed', logs: { repository: [{ error: `it is ${code}`, remedy: 'mend it', code }] } };
      await expect(restore(latest, signal)).rejects.toMatchObject({ message: `it is ${code}`, remedy: 'mend it' });
      untouched();
    },
  );

  test('for a part that the backup lacks, with the reason', async () => {
    await expect(restore({ ...latest, parts: ['monitoring'] }, signal)).rejects.toMatchObject({
      message: `${name} lacks monitoring (Prometheus does not answer)`,
      remedy: expect.stringContaining('outputs, models, redis, configuration'),
    });
    untouched();
  });

  test('while a backup is made', async () => {
    jobs.put('backup', 'backup-29', { state: 'running' });
    await expect(restore(latest, signal)).rejects.toThrow('Job/backup-29 runs in orfeas-local already');
    untouched();
  });

  test('without the workloads that it stops', async () => {
    fake.objects.delete(`/apis/apps/v1/namespaces/${namespace}/deployments/backend`);
    await expect(restore(latest, signal)).rejects.toThrow('Deployment/backend is not in the cluster');
    untouched();
  });

  test('without CronJob/restore', async () => {
    fake.objects.delete(`/apis/batch/v1/namespaces/${namespace}/cronjobs/restore`);
    await expect(restore(latest, signal)).rejects.toThrow('There is no CronJob/restore in orfeas-local');
  });

  test.each<[Partial<RestoreOptions>, string]>([
    [{ snapshot: undefined }, 'neither'],
    [{ undo: true }, 'both'],
  ])('with %j: a backup or --undo, not %s', async options => {
    await expect(restore({ ...latest, ...options }, signal)).rejects.toThrow(
      'Give either the name of a backup, latest, --from, --undo, or --discard',
    );
  });
});

describe('a failure', () => {
  test('of staging leaves everything as it was, at once', async () => {
    const failed = { phase: 'stage', owner: 'backend', status: 'failed', error: 'outputs lacks 3 GiB', remedy: 'enlarge the claim' };
    performances = [{ state: 'running', logs: { 'stage-backend': [failed] } }];
    const { ok, error, result } = await restore(latest, signal);
    expect(ok).toBe(false);
    expect(error).toMatchObject({
      message: 'outputs lacks 3 GiB\nNothing was replaced, and what was stopped runs again',
      remedy: 'enlarge the claim',
    });
    expect(result.rolledBack).toBe(false);
    expect(actions()).toEqual(['restore']);
    expect([...fake.objects.values()].filter(({ kind }) => kind === 'Job')).toEqual([]);
    expect(allRun()).toBe(true);
  });

  test('of replacing puts back what was replaced', async () => {
    performances = [
      { state: 'failed', logs: { 'stage-backend': [stage], 'commit-backend': [{ ...commit, status: 'failed', error: 'I/O error' }] } },
      success,
    ];
    const { ok, error, result } = await restore(latest, signal);
    expect(ok).toBe(false);
    expect((error as Error).message).toBe('I/O error\nAll that was replaced is back, and what was stopped runs again');
    expect(result.rolledBack).toBe(true);
    expect(actions()).toEqual(['restore', 'rollback']);
    const [first, second] = jobs.of('restore').map(variables);
    expect(second?.RESTORE_ID).toBe(first?.RESTORE_ID);
    expect(allRun()).toBe(true);
  });

  test('of the health checks puts back what was replaced', async () => {
    jest.mocked(checkHealth).mockRejectedValue(new CommandError('GET / was answered 502', 'orfeas status says why'));
    const { ok, error, result } = await restore(latest, signal);
    expect(ok).toBe(false);
    expect(error).toMatchObject({
      message: 'GET / was answered 502\nAll that was replaced is back, and what was stopped runs again',
      remedy: 'orfeas status says why',
    });
    expect(steps(result.steps).slice(-4)).toEqual(['health failed', 'stop done', 'rollback done', 'start done']);
    expect(allRun()).toBe(true);
  });

  test('of putting back leaves the writers stopped, and names the way out', async () => {
    performances = [{ state: 'failed', logs: { 'commit-backend': [{ ...commit, status: 'failed', error: 'I/O error' }] } }];
    const { ok, error } = await restore(latest, signal);
    expect(ok).toBe(false);
    expect(error).toMatchObject({
      message: 'I/O error\nPutting back what was replaced failed, too: I/O error',
      remedy: 'mend that, then run orfeas restore --undo --env local',
    });
    expect(replicas('Deployment/backend')).toBe(0);
  });

  test('of the cluster itself touches nothing more, as the Job may go on', async () => {
    performances = [{ state: 'running', logs: { 'commit-backend': [commit] } }];
    fake.intercept = (_, path) =>
      /\/jobs\/restore-/.test(path) ? { status: 503, body: { message: 'the server is going down' } } : undefined;
    let now = Date.now();
    jest.spyOn(Date, 'now').mockImplementation(() => {
      now += 20_000;
      return now;
    });
    const { ok, error } = await restore(latest, signal);
    expect(ok).toBe(false);
    expect(error).toMatchObject({
      message: 'the server is going down\nHow far the restore came is not known',
      remedy: `once the cluster answers, run it again: orfeas restore ${name} --env local`,
    });
    expect(actions()).toEqual(['restore']);
    expect(fake.find('Job', jobs.of('restore')[0]?.metadata.name ?? '')).toBeDefined();
    expect(replicas('Deployment/backend')).toBe(0);
  });

  test('to stop what writes starts it again', async () => {
    fake.intercept = (method, path) => {
      // Somebody manages it, and has other plans.
      if (method === 'GET' && path.endsWith('/v1/namespaces/orfeas-local/pods') && replicas('Deployment/backend') === 0)
        scale('Deployment/backend', 1);
      return undefined;
    };
    const { ok, error } = await restore(latest, signal);
    expect(ok).toBe(false);
    expect((error as CommandError).message).toMatch(
      /^Deployment\/backend was stopped, and somebody started it again\nNothing was replaced/,
    );
    expect((error as CommandError).remedy).toContain('Argo CD');
    expect(jobs.of('restore')).toEqual([]);
    expect(allRun()).toBe(true);
  });
});

describe('an interrupt', () => {
  const interrupt = (): AbortController => new AbortController();

  test('before data is replaced deletes the Job, and starts what was stopped', async () => {
    const controller = interrupt();
    performances = [{ state: 'running', logs: { 'stage-backend': [stage] } }];
    fake.intercept = (_, path) => {
      if (path.endsWith('/log') && path.includes('/restore-')) controller.abort(new Error('interrupted'));
      return undefined;
    };
    const { ok, error } = await restore(latest, controller.signal);
    expect(ok).toBe(false);
    expect(error).toMatchObject({
      message: 'Interrupted. Nothing was replaced, and what was stopped runs again',
      remedy: `run it again: orfeas restore ${name} --env local`,
    });
    expect(actions()).toEqual(['restore']);
    expect(allRun()).toBe(true);
  });

  test('while data is replaced waits for the end of that', async () => {
    const controller = interrupt();
    performances = [{ state: 'running', logs: { 'stage-backend': [stage], 'commit-backend': [commit] } }];
    let reads = 0;
    fake.intercept = (_, path) => {
      if (path.endsWith('-pod/log') && path.includes('/restore-')) reads += 1;
      const [job] = jobs.of('restore');
      if (job && reads >= 2 && path.endsWith(`/jobs/${job.metadata.name}`)) {
        controller.abort(new Error('interrupted'));
        jobs.set(job, success);
      }
      return undefined;
    };
    const { ok, error, result } = await restore(latest, controller.signal);
    expect(ok).toBe(false);
    expect(error).toMatchObject({
      message: `Interrupted. ${name} is restored, and what was stopped runs again`,
      remedy: 'see how it is: orfeas status --env local',
    });
    expect(result.rolledBack).toBe(false);
    expect(actions()).toEqual(['restore']);
    expect(allRun()).toBe(true);
  });
});

describe('after a command that was cut off', () => {
  const stopped = (): void => {
    for (const workload of ['Deployment/backend', 'StatefulSet/redis']) scale(workload, 0);
  };

  test('the same restore goes on with the Job that runs', async () => {
    stopped();
    const job = jobs.put('restore', 'restore-1', { state: 'running', logs: { 'commit-backend': [commit] } }, order('outputs,models,redis'));
    let looks = 0;
    fake.intercept = (_, path) => {
      if (path.endsWith('/jobs/restore-1') && ++looks === 2) jobs.set(job, success);
      return undefined;
    };
    const { ok, result } = await restore(latest, signal);
    expect(ok).toBe(true);
    expect(result.id).toBe('20260101_100000');
    expect(jobs.of('restore')).toEqual([]);
    expect(allRun()).toBe(true);
    expect(fake.find('Job', 'restore-1')?.metadata.annotations).toHaveProperty(['orfeas/concluded']);
  });

  test('the same restore takes what the Job has done meanwhile', async () => {
    stopped();
    jobs.put('restore', 'restore-1', success, order('outputs,models,redis'));
    expect((await restore(latest, signal)).result.id).toBe('20260101_100000');
    expect(jobs.of('restore')).toEqual([]);
  });

  test('the same restore makes a new Job with the same safety copy when that one failed', async () => {
    stopped();
    jobs.put('restore', 'restore-1', { state: 'failed', logs: {} }, order('outputs,models,redis'));
    expect((await restore(latest, signal)).ok).toBe(true);
    expect(variables(jobs.of('restore')[0]).RESTORE_ID).toBe('20260101_100000');
  });

  test.each<[string, object]>([
    ['was concluded', { ...order('outputs,models,redis'), ...concluded }],
    ['was of other parts', order('outputs')],
    ['put something back', order('outputs,models,redis', 'rollback')],
  ])('a Job that %s is not taken for this one', async (_, job) => {
    stopped();
    jobs.put('restore', 'restore-1', success, job);
    expect((await restore(latest, signal)).result.id).not.toBe('20260101_100000');
    expect(actions()).toEqual(['restore']);
  });

  test('a Job whose writers run again is not taken for this one', async () => {
    jobs.put('restore', 'restore-1', success, order('outputs,models,redis'));
    expect((await restore(latest, signal)).result.id).not.toBe('20260101_100000');
    expect(actions()).toEqual(['restore']);
  });

  test('another restore waits for the Job that runs', async () => {
    stopped();
    const job = jobs.put(
      'restore',
      'restore-1',
      { state: 'running', logs: {} },
      order('outputs', 'restore', 'orfeas_backup_20251231_030000'),
    );
    let looks = 0;
    fake.intercept = (_, path) => {
      if (path.endsWith('/jobs/restore-1') && ++looks === 2) {
        expect(jobs.of('restore')).toEqual([]);
        jobs.set(job, success);
      }
      return undefined;
    };
    expect((await restore(latest, signal)).ok).toBe(true);
    expect(looks).toBeGreaterThanOrEqual(2);
    expect(jobs.of('restore')).toHaveLength(1);
  });

  test('writers of other parts that are stopped are started as well', async () => {
    scale('Deployment/grafana', 0);
    await restore(latest, signal);
    expect(allRun()).toBe(true);
  });
});

describe('--undo', () => {
  test('puts back what the last restore replaced', async () => {
    jobs.put('restore', 'restore-1', success, { ...order('outputs,redis'), ...concluded });
    const { ok, text } = await restore(undo, signal);
    expect(ok).toBe(true);
    expect(text).toBe(`What the restore of ${name} replaced is back: outputs, redis`);
    expect(variables(jobs.of('restore')[0])).toMatchObject({
      RESTORE_ACTION: 'rollback',
      RESTORE_ID: '20260101_100000',
      RESTORE_PARTS: 'outputs,redis',
    });
    expect(jobs.of('backup-repository')).toEqual([]);
    expect(allRun()).toBe(true);
  });

  test('passes over a restore that replaced nothing', async () => {
    jobs.put('restore', 'restore-1', success, { ...order('outputs'), ...concluded });
    jobs.put('restore', 'restore-2', { state: 'failed', logs: {} }, { ...order('redis'), ...concluded });
    expect((await restore(undo, signal)).result.parts).toEqual(['outputs']);
  });

  test('is not done twice', async () => {
    jobs.put('restore', 'restore-1', success, { ...order('outputs', 'rollback'), ...concluded });
    await expect(restore(undo, signal)).rejects.toThrow(`The restore of ${name} was undone already`);
  });

  test('without a restore says so', async () => {
    await expect(restore(undo, signal)).rejects.toThrow('No restore of orfeas-local is known that could be undone');
  });

  test('that gets stuck half-way leaves the writers stopped', async () => {
    jobs.put('restore', 'restore-1', success, { ...order('outputs'), ...concluded });
    performances = [{ state: 'failed', logs: { 'commit-backend': [{ ...commit, status: 'failed', error: 'I/O error' }] } }];
    const { ok, error } = await restore(undo, signal);
    expect(ok).toBe(false);
    expect((error as Error).message).toBe('I/O error\nOnly a part is back, so Deployment/backend stay stopped');
    expect(replicas('Deployment/backend')).toBe(0);
  });
});

describe('the configuration', () => {
  const configMap = (value: string) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'web-files', namespace },
    data: { value },
  });

  test('is applied before the writers start, and leaves claims and their data alone', async () => {
    const backend = everyone.find(({ metadata }) => metadata.name === 'backend') as KubernetesObject;
    objects = [
      configMap('old'),
      backend,
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'backend', namespace }, spec: { ports: [{ port: 80 }] } },
      { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'outputs', namespace }, spec: {} },
    ];
    fake.put(configMap('new') as KubernetesObject);
    const seen: (number | undefined)[] = [];
    fake.intercept = (method, path) => {
      if (method === 'PATCH' && path.endsWith('/services/backend')) seen.push(replicas('Deployment/backend'));
      return undefined;
    };
    const { ok, error, result } = await restore({ ...latest, parts: ['outputs', 'configuration'] }, signal);
    expect(error).toBeUndefined();
    expect(ok).toBe(true);
    expect(result.parts).toEqual(['outputs', 'configuration']);
    expect(fake.find('ConfigMap', 'web-files')).toMatchObject({ data: { value: 'old' } });
    expect(fake.find('Service', 'backend')).toMatchObject({ spec: { ports: [{ port: 80 }] } });
    expect(fake.find('PersistentVolumeClaim', 'outputs')).toBeUndefined();
    expect(seen.at(-1)).toBe(0);
    expect(variables(jobs.of('restore')[0]).RESTORE_PARTS).toBe('outputs');
    expect(allRun()).toBe(true);
  });

  test('alone stops nothing', async () => {
    objects = [configMap('old')];
    const { ok, result } = await restore({ ...latest, parts: ['configuration'] }, signal);
    expect(ok).toBe(true);
    expect(result).not.toHaveProperty('id');
    expect(jobs.of('restore')).toEqual([]);
    expect(fake.writes.some(write => write.includes('/apis/apps/'))).toBe(false);
  });

  test('in a dry run shows what it would change', async () => {
    objects = [configMap('old')];
    const { text } = await restore({ ...latest, parts: ['configuration'], dryRun: true }, signal);
    expect(text).toContain('It changes 1 object(s): ConfigMap/web-files.');
    expect(fake.find('ConfigMap', 'web-files')).toBeUndefined();
  });

  test('of another namespace is refused', async () => {
    repository = { logs: { repository: [{ manifest: { ...manifest, namespace: 'orfeas-staging' }, id: '8a3f' }] } };
    await expect(restore({ ...latest, parts: ['configuration'] }, signal)).rejects.toThrow(
      `${name} has the configuration of orfeas-staging, which is not that of orfeas-local`,
    );
  });
});

describe('a restore from a zip', () => {
  let store: FakeRepository;
  const zip = () => writeZip(join(folder, 'studio.zip'), exported());
  beforeEach(async () => {
    store = await FakeRepository.start(fake, jobs);
    store.log.push({ phase: 'archive', status: 'done' }, { result: { name: zippedName, leftOut: ['outputs/x.part'] } });
  });
  afterEach(() => store.stop());
  const from = (file: string, more: Partial<RestoreOptions> = {}): RestoreOptions => ({
    env: 'local',
    json: true,
    force: true,
    from: file,
    ...more,
  });

  test('takes it into the repository, and restores that backup', async () => {
    const { ok, result } = await restore(from(zip()), signal);
    expect(ok).toBe(true);
    expect(steps(result.steps).slice(0, 5)).toEqual(['zip done', 'check done', 'import done', 'inspect done', 'stop done']);
    expect(result.steps[2]?.detail).toBe(`${zippedName}, without outputs/x.part`);
    expect(store.announced).toMatchObject({
      name: zippedName,
      created: '2026-01-01T03:00:00Z',
      manifest: { format: 1 },
      entries: { 'outputs/a.glb': [4, expect.any(Number)] },
    });
    expect(store.came.sort()).toEqual([...exported().map(({ name: each }) => each)].filter(each => each !== 'manifest.json').sort());
    const asked = ['backup-import', 'backup-repository'].map(cronJob => jobs.of(cronJob)[0]?.spec?.template.spec?.containers[0]?.args);
    expect(asked).toEqual([['serve'], ['inspect', zippedName]]);
    expect(actions()).toEqual(['restore']);
  });

  test('sends nothing when the repository has it', async () => {
    store.announcement = { status: 200, body: { send: false } };
    const { ok } = await restore(from(zip()), signal);
    expect(ok).toBe(true);
    expect(store.came).toEqual([]);
  });

  test('that the repository refuses ends with its reason, and touches nothing', async () => {
    store.announcement = { status: 409, body: { error: 'there is no room', remedy: 'make some' } };
    await expect(restore(from(zip()), signal)).rejects.toMatchObject({ message: 'there is no room', remedy: 'make some' });
    expect(actions()).toEqual([]);
    expect(allRun()).toBe(true);
  });

  test('of which no backup can be made ends with the reason', async () => {
    store.log.splice(0, store.log.length, { error: 'the dump is damaged', remedy: 'make another', code: 'damaged' });
    await expect(restore(from(zip()), signal)).rejects.toMatchObject({ message: 'the dump is damaged', remedy: 'make another' });
    expect(actions()).toEqual([]);
  });

  test('that is no good is refused before the cluster is asked for anything', async () => {
    const file = writeZip(join(folder, 'bad.zip'), [...exported(), { name: '../outside', content: 'x' }]);
    await expect(restore(from(file), signal)).rejects.toThrow(/bad\.zip is no good: invalid relative path/);
    expect(jobs.made).toEqual([]);
    expect(fake.writes).toEqual([]);
  });

  test('tells with --dry-run what is in it, and takes it nowhere', async () => {
    const { text, result } = await restore(from(zip(), { dryRun: true }), signal);
    expect(text).toMatch(/studio\.zip has orfeas_backup_20260101_030000 .* and is whole:\n[\s\S]*Nothing was changed\.$/);
    expect(steps(result.steps)).toEqual(['zip done', 'check done', 'import skipped']);
    expect(jobs.made).toEqual([]);
  });

  test('and of a named backup cannot both be asked for', async () => {
    await expect(restore(from(zip(), { snapshot: 'latest' }), signal)).rejects.toThrow(/^Give either/);
  });
});
