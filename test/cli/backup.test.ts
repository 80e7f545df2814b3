import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { backup, listBackups } from '../../cli/commands/backup';
import { buildProgram } from '../../cli/main';
import type { Job } from '../../cli/objects';
import { FakeCluster } from './fake-cluster';
import { FakeJobs, type Performance } from './fake-jobs';

const namespace = 'orfeas-local';
const signal = new AbortController().signal;
const quiet = { env: 'local', json: true } as const;

let fake: FakeCluster;
let jobs: FakeJobs;
let folder: string;
beforeEach(async () => {
  fake = await FakeCluster.start();
  jobs = new FakeJobs(fake, namespace);
  folder = mkdtempSync(join(tmpdir(), 'orfeas-'));
  process.env.KUBECONFIG = join(folder, 'kubeconfig');
  writeFileSync(process.env.KUBECONFIG, fake.kubeconfig);
});
afterEach(async () => {
  delete process.env.KUBECONFIG;
  rmSync(folder, { recursive: true });
  await fake.stop();
});

const made = {
  name: 'orfeas_backup_20260101_030000',
  snapshot: '8a3f',
  bytes: 3 * 2 ** 30,
  addedBytes: 5 * 2 ** 20,
  files: 12,
  seconds: 31.4,
  missing: {},
};
const archived = { phase: 'archive', status: 'done', name: made.name, snapshot: made.snapshot, bytes: made.bytes, files: 12 };
const success: Performance = { logs: { archive: [{ phase: 'redis', status: 'started' }, 'a diagnosis', archived, { result: made }] } };
const argsOf = (job: Job | undefined) => job?.spec?.template.spec?.containers[0]?.args;

describe('a backup', () => {
  test('ends with the name of its snapshot, its size, and what was new in it', async () => {
    jobs.perform = () => success;
    const { ok, result, text } = await backup(quiet, signal);
    expect(ok).toBe(true);
    expect(result).toEqual(made);
    expect(text).toBe('orfeas_backup_20260101_030000 is complete: 3.0 GiB in 12 files, of which 5.0 MiB were new, in 31 s');
  });

  test('says what is missing in it', async () => {
    const missing = { monitoring: 'Prometheus does not answer' };
    jobs.perform = () => ({ logs: { archive: [{ result: { ...made, missing } }] } });
    expect((await backup(quiet, signal)).text).toMatch(/\nwarning: it lacks monitoring \(Prometheus does not answer\)$/);
  });

  test('is a Job of the template, as kubectl would make it, with one attempt', async () => {
    jobs.perform = () => success;
    await backup(quiet, signal);
    const [job] = jobs.of('backup');
    expect(job?.metadata).toMatchObject({
      name: expect.stringMatching(/^backup-manual-\d{14}$/),
      labels: { 'app.kubernetes.io/name': 'backup' },
      annotations: { 'cronjob.kubernetes.io/instantiate': 'manual' },
      ownerReferences: [{ apiVersion: 'batch/v1', kind: 'CronJob', name: 'backup', uid: 'backup', controller: true }],
    });
    expect(job?.spec).toMatchObject({ backoffLimit: 0, template: { spec: { containers: [{ args: ['backup'] }] } } });
  });

  test('leaves the models out when told to', async () => {
    jobs.perform = () => success;
    await backup({ ...quiet, skipModels: true }, signal);
    expect(argsOf(jobs.of('backup')[0])).toEqual(['backup', '--skip-models']);
  });

  test('that fails tells the error and the remedy of its last line', async () => {
    const failed = { phase: 'redis', status: 'failed', error: 'Redis does not answer', remedy: 'see why: orfeas status' };
    jobs.perform = () => ({ state: 'failed', logs: { archive: [failed] } });
    await expect(backup(quiet, signal)).rejects.toMatchObject({ message: failed.error, remedy: failed.remedy });
    expect(fake.find('Job', jobs.of('backup')[0]?.metadata.name ?? '')).toBeDefined();
  });

  test('that is killed shows how, with the last lines of its log', async () => {
    jobs.perform = () => ({ state: 'failed', logs: { archive: ['the last words'] } });
    await expect(backup(quiet, signal)).rejects.toThrow(
      /^Job\/backup-manual-\d+ failed: it has ended\nPod\/.* \(archive\) is Error: .*\n[\s\S]*│ the last words/,
    );
  });

  test.each(['backup', 'restore'])('does not start while a Job of %s runs', async cronJob => {
    jobs.put(cronJob, `${cronJob}-29`, { state: 'running' });
    await expect(backup(quiet, signal)).rejects.toThrow(`Job/${cronJob}-29 runs in orfeas-local already`);
    expect(jobs.made).toEqual([]);
  });

  test('starts beside Jobs that have ended', async () => {
    jobs.put('backup', 'backup-28', { state: 'failed' });
    jobs.perform = () => success;
    expect((await backup(quiet, signal)).ok).toBe(true);
  });

  test('of a studio that is not deployed says what to do', async () => {
    fake.objects.clear();
    await expect(backup(quiet, signal)).rejects.toMatchObject({
      message: 'There is no CronJob/backup in orfeas-local',
      remedy: 'orfeas deploy --env local',
    });
  });

  test('that is interrupted deletes its Job, and says that nothing is left of it', async () => {
    const interrupt = new AbortController();
    jobs.perform = () => {
      queueMicrotask(() => interrupt.abort(new Error('interrupted')));
      return { state: 'running', logs: { archive: [{ phase: 'redis', status: 'started' }] } };
    };
    await expect(backup(quiet, interrupt.signal)).rejects.toThrow(/^Interrupted\. Job\/backup-manual-\d+ is deleted, and left no backup$/);
    expect(fake.find('Job', jobs.made[0]?.metadata.name ?? '')).toBeUndefined();
  });

  test.each([
    ['when the snapshot is complete names it', archived, /is deleted, and orfeas_backup_20260101_030000 is complete$/],
    ['while it is made does not know what is left', { ...archived, status: 'progress' }, /is deleted, and left a whole backup or none$/],
  ])('that is interrupted %s', async (_, told, message) => {
    const interrupt = new AbortController();
    jobs.perform = () => ({ state: 'running', logs: { archive: [told] } });
    let read = false;
    fake.intercept = (_, path) => {
      if (path.endsWith('/log')) read = true;
      else if (read) interrupt.abort(new Error('interrupted'));
      return undefined;
    };
    await expect(backup(quiet, interrupt.signal)).rejects.toThrow(message);
  });

  test('that somebody deletes meanwhile ends with that', async () => {
    jobs.perform = (_, job) => {
      queueMicrotask(() => {
        for (const [key, { metadata }] of fake.objects) if (metadata.name === job.metadata.name) fake.objects.delete(key);
      });
      return { state: 'running', logs: { archive: [] } };
    };
    await expect(backup(quiet, signal)).rejects.toThrow(/^Job\/backup-manual-\d+ is gone: somebody deleted it meanwhile/);
  });
});

describe('the list of backups', () => {
  const snapshot = {
    name: made.name,
    id: '8a3f',
    created: new Date(Date.now() - 5 * 3_600_000).toISOString(),
    bytes: made.bytes,
    files: 12,
    parts: ['outputs', 'redis'],
    missing: { monitoring: 'away' },
    version: '0.1.0',
  };

  test('comes from a Job in the cluster, which is removed', async () => {
    jobs.perform = () => ({ logs: { repository: ['opening', { snapshots: [snapshot] }, { message_type: 'summary' }] } });
    const { result, text } = await listBackups(quiet, signal);
    expect(result).toEqual({ snapshots: [snapshot] });
    expect(text).toBe(
      [
        'NAME                           AGE  SIZE     FILES  PARTS          MISSING',
        'orfeas_backup_20260101_030000  5h   3.0 GiB  12     outputs,redis  monitoring',
      ].join('\n'),
    );
    expect(argsOf(jobs.of('backup-repository')[0])).toEqual(['list']);
    expect([...fake.objects.values()].filter(({ kind }) => kind === 'Job')).toEqual([]);
  });

  test('of an empty repository says how to make one', async () => {
    jobs.perform = () => ({ logs: { repository: [{ snapshots: [] }] } });
    expect((await listBackups(quiet, signal)).text).toBe('There is no backup yet\n  → orfeas backup --env local');
  });

  test('of a repository that cannot be opened tells why', async () => {
    const document = { error: 'the password is wrong', remedy: 'give the Secret orfeas-backup the right one', code: 'wrong-password' };
    jobs.perform = () => ({ state: 'failed', logs: { repository: [document] } });
    await expect(listBackups(quiet, signal)).rejects.toMatchObject({ message: document.error, remedy: document.remedy });
    expect([...fake.objects.values()].filter(({ kind }) => kind === 'Job')).toEqual([]);
  });

  test.each([
    ['backup', '--env', 'staging', 'list'],
    ['backup', 'list', '--env', 'staging'],
  ])('is that of the environment wherever the option stands: %s %s %s %s', async (...args) => {
    fake.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'orfeas-staging' } });
    const error = jest.spyOn(console, 'error').mockImplementation(() => {});
    await buildProgram().parseAsync(['node', 'orfeas', ...args]);
    expect(error).toHaveBeenCalledWith(expect.stringContaining('orfeas-staging'));
    error.mockRestore();
    process.exitCode = 0;
  });
});
