import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DiscardOptions, discard } from '../../cli/commands/discard';
import { manifests } from '../../cli/manifests';
import { isWorkload, type Workload } from '../../cli/rollout';
import { loadSettings } from '../../config';
import { FakeCluster } from './fake-cluster';
import { FakeJobs, type Performance } from './fake-jobs';

const namespace = 'orfeas-local';
const signal = new AbortController().signal;
const options: DiscardOptions = { env: 'local', json: true, force: true };
const everyone = manifests(loadSettings('local'))
  .flatMap(({ objects }) => objects)
  .filter(isWorkload);

let fake: FakeCluster;
let jobs: FakeJobs;
let folder: string;
let performance: Performance;
beforeEach(async () => {
  fake = await FakeCluster.start();
  fake.controllers = true;
  jobs = new FakeJobs(fake, namespace);
  for (const workload of everyone) fake.put(workload);
  performance = { logs: { 'commit-backend': [{ phase: 'discard', owner: 'backend', status: 'done' }] } };
  jobs.perform = () => performance;
  folder = mkdtempSync(join(tmpdir(), 'orfeas-'));
  process.env.KUBECONFIG = join(folder, 'kubeconfig');
  writeFileSync(process.env.KUBECONFIG, fake.kubeconfig);
});
afterEach(async () => {
  delete process.env.KUBECONFIG;
  rmSync(folder, { recursive: true });
  await fake.stop();
});

const replicas = (): (number | undefined)[] =>
  everyone.map(({ kind, metadata }) => fake.find<Workload>(kind, metadata.name)?.spec?.replicas);
const past = (action: string, annotations = {}) =>
  jobs.put(
    'restore',
    'restore-1',
    { logs: {} },
    {
      env: {
        RESTORE_ACTION: action,
        RESTORE_SNAPSHOT: 'orfeas_backup_20260101_030000',
        RESTORE_PARTS: 'outputs',
        RESTORE_ID: '20260101_100000',
      },
      annotations,
    },
  );

test('what restores have replaced is removed while nothing writes, and the writers run again', async () => {
  const before = replicas();
  let stopped = before;
  jobs.perform = () => {
    stopped = replicas();
    return performance;
  };
  const { ok, text } = await discard(options, signal);
  expect(ok).toBe(true);
  expect(text).toBe('What restores have replaced is removed');
  const [job] = jobs.of('restore');
  expect(job?.spec?.template.spec?.containers[0]?.env).toContainEqual({ name: 'RESTORE_ACTION', value: 'discard' });
  expect(stopped).toContain(0);
  expect(replicas()).toEqual(before);
});

test('a restore that did not come to its end keeps what it replaced', async () => {
  past('restore');
  await expect(discard(options, signal)).rejects.toThrow('The restore of orfeas_backup_20260101_030000 did not come to its end');
  expect(jobs.of('restore')).toEqual([]);
});

test('where it fails, the writers run again all the same', async () => {
  const before = replicas();
  performance = { state: 'failed', logs: { 'commit-backend': [{ phase: 'discard', status: 'failed', error: 'I/O error' }] } };
  await expect(discard(options, signal)).rejects.toThrow('I/O error');
  expect(replicas()).toEqual(before);
});

test('a dry run tells what stops, and changes nothing', async () => {
  const { text } = await discard({ ...options, dryRun: true }, signal);
  expect(text).toMatch(/removed for good.*\nMeanwhile these stop: .*Deployment\/backend/);
  expect(fake.writes).toEqual([]);
});

test('the name of a backup has no place in it', async () => {
  await expect(discard({ ...options, snapshot: 'latest' }, signal)).rejects.toThrow('--discard takes no name of a backup');
});
