import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DeployOptions, deploy } from '../../cli/commands/deploy';
import type { Deployment, Job, KubernetesObject } from '../../cli/objects';
import { FakeCluster } from './fake-cluster';
import { FakeJobs } from './fake-jobs';

const namespace = 'orfeas-local';
const signal = new AbortController().signal;
const options: DeployOptions = { env: 'local', json: true, skipBuild: true, skipTls: true, skipHealthCheck: true };
const backup = { logs: { archive: [{ result: { name: 'orfeas_backup_20260101_030000', missing: {} } }] } };

let fake: FakeCluster;
let jobs: FakeJobs;
let folder: string;
beforeEach(async () => {
  fake = await FakeCluster.startComplete();
  folder = mkdtempSync(join(tmpdir(), 'orfeas-'));
  process.env.KUBECONFIG = join(folder, 'kubeconfig');
  writeFileSync(process.env.KUBECONFIG, fake.kubeconfig);
  await deploy(options, signal);
  jobs = new FakeJobs(fake, namespace);
  jobs.perform = () => backup;
});
afterEach(async () => {
  delete process.env.KUBECONFIG;
  rmSync(folder, { recursive: true });
  await fake.stop();
});

/** Makes the cluster run another image than the manifests have. */
function runsImage(name: string, image: string): void {
  const live = structuredClone(fake.find('Deployment', name)) as unknown as Deployment;
  for (const container of live.spec?.template.spec?.containers ?? []) container.image = image;
  fake.put(live as unknown as KubernetesObject);
}

const namesOf = (made: readonly Job[]) => made.map(({ metadata }) => metadata.name.replace(/\d{14}$/, '…'));
const imageOf = (name: string) =>
  (fake.find('Deployment', name) as unknown as Deployment).spec?.template.spec?.containers.map(({ image }) => image);

test('the images of pods that stop first are pulled while these run, and what they have is backed up', async () => {
  runsImage('backend', 'localhost/orfeas/backend:old');
  const { result, error } = await deploy(options, signal);
  expect(error).toBeUndefined();
  expect(namesOf(jobs.made)).toEqual(['pull-backend-…', 'backup-manual-…']);
  expect(jobs.made[0]?.spec?.template.spec?.containers).toEqual([
    expect.objectContaining({ image: 'localhost/orfeas/backend:0.1.0', command: ['true'] }),
  ]);
  expect(jobs.made[1]?.spec?.template.spec?.containers[0]?.args).toEqual(['backup', '--skip-models']);
  expect(result.steps.filter(({ name }) => ['pull', 'backup'].includes(name)).map(({ detail }) => detail)).toEqual([
    'pulled localhost/orfeas/backend:0.1.0',
    'orfeas_backup_20260101_030000',
  ]);
});

test.each([
  ['an image that cannot be pulled', 'pull', (cronJob: string) => cronJob === ''],
  ['a backup that fails', 'backup', (cronJob: string) => cronJob === 'backup'],
])('%s ends the deployment with the old pods running', async (_, step, isBad) => {
  runsImage('backend', 'localhost/orfeas/backend:old');
  jobs.perform = cronJob => (isBad(cronJob) ? { state: 'failed' } : backup);
  const { ok, result } = await deploy(options, signal);
  expect(ok).toBe(false);
  expect(result.steps.at(-1)).toMatchObject({ name: step, status: 'failed' });
  expect(new Set(imageOf('backend'))).toEqual(new Set(['localhost/orfeas/backend:old']));
  expect(fake.find('Job', jobs.made[0]?.metadata.name ?? '')).toBeUndefined();
});

test('pods without data are replaced without a backup', async () => {
  runsImage('web', 'localhost/orfeas/web:old');
  await deploy(options, signal);
  expect(jobs.made).toEqual([]);
  expect(imageOf('web')).toContain('localhost/orfeas/web:0.1.0');
});

test('no backup is made when it is left out', async () => {
  runsImage('backend', 'localhost/orfeas/backend:old');
  await deploy({ ...options, skipBackup: true }, signal);
  expect(namesOf(jobs.made)).toEqual(['pull-backend-…']);
});
