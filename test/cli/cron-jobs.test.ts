import { followJob, hasEnded, jobsOf, stopJob } from '../../cli/cron-jobs';
import type { Job } from '../../cli/objects';
import { FakeCluster } from './fake-cluster';
import { FakeJobs, type Performance } from './fake-jobs';

const namespace = 'orfeas-local';
const never = new AbortController().signal;

let fake: FakeCluster;
let jobs: FakeJobs;
beforeEach(async () => {
  fake = await FakeCluster.start();
  jobs = new FakeJobs(fake, namespace);
});
afterEach(async () => {
  jest.restoreAllMocks();
  await fake.stop();
});

const put = (performance: Performance): Job => jobs.put('backup', 'backup-1', performance);

/** Follows a Job that does more at each look at it, and tells the lines. */
async function follow(job: Job, next: (look: number) => void = () => {}, onProgress: (text: string) => void = () => {}) {
  const lines: string[] = [];
  let looks = 0;
  const { intercept } = fake;
  fake.intercept = (method, path) => {
    if (path.endsWith(`/jobs/${job.metadata.name}`)) next(++looks);
    return intercept(method, path);
  };
  const end = await followJob(fake.connect(), job, { signal: never, onLine: line => lines.push(line), onProgress });
  return { lines, end };
}

describe('a Job that is followed', () => {
  test('tells each line once, though the connection breaks', async () => {
    const job = put({ state: 'running', logs: { archive: ['one', 'two'] } });
    const { lines, end } = await follow(job, look => {
      if (look === 2) jobs.set(job, { state: 'running', logs: { archive: ['one', 'two', 'three'] } });
      if (look === 3) jobs.set(job, { logs: { archive: ['one', 'two', 'three', 'four'] } });
    });
    expect(lines).toEqual(['one', 'two', 'three', 'four']);
    expect(end.succeeded).toBe(true);
  });

  test('tells the lines of all its containers, but not of a sidecar', async () => {
    const job = put({ logs: { 'stage-backend': ['stage'], 'commit-backend': ['commit'], sidecar: ['nothing'] } });
    const pod = fake.find('Pod', 'backup-1-pod');
    fake.put({
      ...(pod as NonNullable<typeof pod>),
      spec: { initContainers: [{ name: 'sidecar', restartPolicy: 'Always' }], containers: [] },
    });
    expect((await follow(job)).lines.sort()).toEqual(['commit', 'stage']);
  });

  test('says what keeps it from starting, and ends when waiting does not help', async () => {
    const seen: string[] = [];
    const job = put({ state: 'running', waiting: '0/1 nodes are available: 1 Insufficient cpu.' });
    let now = Date.now();
    jest.spyOn(Date, 'now').mockImplementation(() => {
      now += 20_000;
      return now;
    });
    await expect(follow(job, undefined, text => seen.push(text))).rejects.toThrow(
      /^Job\/backup-1 does not start\.\nPod\/backup-1-pod is Unschedulable: .*Insufficient cpu\.\n {2}→ free cpu on a node/,
    );
    expect(seen[0]).toBe('Pod/backup-1-pod Unschedulable: 0/1 nodes are available: 1 Insufficient cpu.');
  });

  test('whose pod may not be made says why', async () => {
    const seen: string[] = [];
    const job = put({ state: 'running' });
    fake.objects.delete(`/api/v1/namespaces/${namespace}/pods/backup-1-pod`);
    fake.put({
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name: 'a', namespace },
      involvedObject: { kind: 'Job', name: 'backup-1' },
      reason: 'FailedCreate',
      message: 'pods "backup-1-pod" is forbidden: exceeded quota: studio',
    });
    await follow(
      job,
      look => {
        if (look === 2) jobs.set(job, {});
      },
      text => seen.push(text),
    );
    expect(seen).toEqual(['Job/backup-1 FailedCreate: pods "backup-1-pod" is forbidden: exceeded quota: studio']);
  });

  test('goes on while the API server is away for a moment', async () => {
    const job = put({ logs: { archive: ['one'] } });
    let away = 1;
    fake.intercept = (_, path) =>
      path.endsWith('/jobs/backup-1') && away-- > 0 ? { status: 503, body: { message: 'the server is starting' } } : undefined;
    const seen: string[] = [];
    expect((await follow(job, undefined, text => seen.push(text))).end.succeeded).toBe(true);
    expect(seen).toEqual(['the server is starting']);
  });

  test('whose log may not be read is refused', async () => {
    fake.intercept = (_, path) => (path.endsWith('/log') ? { status: 403, body: { message: 'pods/log is forbidden' } } : undefined);
    await expect(follow(put({ state: 'running', logs: { archive: [] } }))).rejects.toThrow('pods/log is forbidden');
  });
});

test('Jobs of a CronJob are found, the newest first', async () => {
  put({});
  jobs.put('backup', 'backup-2', { state: 'running' });
  jobs.put('restore', 'restore-1', {});
  const found = await jobsOf(fake.connect(), namespace, ['backup']);
  expect(found.map(job => [job.metadata.name, hasEnded(job)])).toEqual([
    ['backup-2', false],
    ['backup-1', true],
  ]);
});

test('a Job that is stopped is gone with its pods, and tells what had begun', async () => {
  const job = put({ state: 'running', logs: { 'stage-backend': [] } });
  let looks = 0;
  fake.intercept = (method, path) => {
    // Its pod takes a while to stop.
    if (method === 'DELETE') return { status: 200, body: {} };
    if (path.endsWith('/pods') && ++looks === 2) fake.objects.delete(`/api/v1/namespaces/${namespace}/pods/backup-1-pod`);
    return undefined;
  };
  const seen: string[] = [];
  expect([...(await stopJob(fake.connect(), job, text => seen.push(text)))]).toEqual(['stage-backend']);
  expect(seen).toEqual(['Pod/backup-1-pod stops']);
});
