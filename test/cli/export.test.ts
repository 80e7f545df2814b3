import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { backup } from '../../cli/commands/backup';
import { exportZip } from '../../cli/commands/export';
import { buildProgram } from '../../cli/main';
import { FakeCluster } from './fake-cluster';
import { FakeJobs } from './fake-jobs';
import { FakeRepository } from './fake-repository';
import { exported, zipOf, zippedName } from './zip-files';

const signal = new AbortController().signal;
const content = zipOf(exported());

let fake: FakeCluster;
let jobs: FakeJobs;
let repository: FakeRepository;
let home: string;
let folder: string;
beforeEach(async () => {
  fake = await FakeCluster.start();
  jobs = new FakeJobs(fake, 'orfeas-local');
  const result = { name: zippedName, snapshot: '8a3f', bytes: 30, addedBytes: 5, files: 4, seconds: 2, missing: {} };
  jobs.perform = () => ({ logs: { archive: [{ result }] } });
  repository = await FakeRepository.start(fake, jobs);
  repository.zip = { content };
  home = mkdtempSync(join(tmpdir(), 'orfeas-'));
  process.env.KUBECONFIG = join(home, 'kubeconfig');
  writeFileSync(process.env.KUBECONFIG, fake.kubeconfig);
  folder = join(home, 'backups');
  mkdirSync(folder);
});
afterEach(async () => {
  delete process.env.KUBECONFIG;
  rmSync(home, { recursive: true });
  await repository.stop();
  await fake.stop();
});

const to = (name: string, force = false) => ({ env: 'local', json: true, file: join(folder, name), snapshot: 'latest', force }) as const;
const jobsLeft = () => [...fake.objects.values()].filter(({ kind }) => kind === 'Job');

test('a backup is written as a zip by a Job, which is removed', async () => {
  const { result, text } = await exportZip(to('studio.zip'), signal);
  expect(result).toMatchObject({ name: zippedName, file: join(folder, 'studio.zip'), bytes: content.length });
  expect(text).toMatch(/^orfeas_backup_20260101_030000 is in .*studio\.zip: /);
  expect(readFileSync(result.file)).toEqual(content);
  expect(readdirSync(folder)).toEqual(['studio.zip']);
  const [container] = jobs.of('backup-repository')[0]?.spec?.template.spec?.containers ?? [];
  expect(container?.args).toEqual(['serve']);
  expect(jobsLeft()).toEqual([]);
});

test('a file that is there is not replaced without --force', async () => {
  writeFileSync(join(folder, 'studio.zip'), 'mine');
  await expect(exportZip(to('studio.zip'), signal)).rejects.toThrow(/studio\.zip is there already$/);
  expect(jobs.made).toEqual([]);
  await exportZip(to('studio.zip', true), signal);
  expect(readFileSync(join(folder, 'studio.zip'))).toEqual(content);
});

test('a folder that is not there is told before anything is done', async () => {
  await expect(exportZip(to('no/studio.zip'), signal)).rejects.toThrow(/^There is no folder .*no$/);
  await expect(backup({ env: 'local', json: true, target: join(folder, 'no') }, signal)).rejects.toThrow(/^There is no folder .*no$/);
  expect(jobs.made).toEqual([]);
});

test('a zip that breaks off leaves nothing, and the log tells why', async () => {
  repository.zip = { content: content.subarray(0, 100), broken: true };
  repository.log.push({ error: 'the repository is damaged', remedy: 'mend it', code: 'damaged' });
  await expect(exportZip(to('studio.zip'), signal)).rejects.toMatchObject({ message: 'the repository is damaged', remedy: 'mend it' });
  expect(readdirSync(folder)).toEqual([]);
  expect(jobsLeft()).toEqual([]);
});

test('a zip without some of its files leaves nothing', async () => {
  repository.zip = { content: zipOf(exported().slice(0, -2)) };
  await expect(exportZip(to('studio.zip'), signal)).rejects.toThrow(/tells of 1 files of models/);
  expect(readdirSync(folder)).toEqual([]);
});

test('an interrupt leaves neither a file nor a Job', async () => {
  const interrupt = new AbortController();
  fake.intercept = (_, path) => {
    if (path.endsWith('/portforward')) interrupt.abort(new Error('interrupted'));
    return undefined;
  };
  await expect(exportZip(to('studio.zip'), interrupt.signal)).rejects.toThrow();
  expect(readdirSync(folder)).toEqual([]);
  expect(jobsLeft()).toEqual([]);
});

test('a backup with --target is written there, under its name', async () => {
  const { ok, result, text } = await backup({ env: 'local', json: true, target: folder }, signal);
  expect(ok).toBe(true);
  expect(readFileSync(join(folder, `${zippedName}.zip`))).toEqual(content);
  expect(result).toMatchObject({ name: zippedName, exported: { file: join(folder, `${zippedName}.zip`) } });
  expect(text).toMatch(/is complete: .*\norfeas_backup_20260101_030000 is in /);
});

test('a backup whose export fails is told of all the same', async () => {
  writeFileSync(join(folder, `${zippedName}.zip`), 'mine');
  const { ok, result, text, error } = await backup({ env: 'local', json: true, target: folder }, signal);
  expect(ok).toBe(false);
  expect(result).toMatchObject({ name: zippedName });
  expect(text).toMatch(/is complete/);
  expect(error).toMatchObject({ message: expect.stringMatching(/is there already$/) });
});

test('on the command line the latest is exported unless another is named', async () => {
  const log = jest.spyOn(console, 'log').mockImplementation(() => {});
  await buildProgram().parseAsync(['node', 'orfeas', 'backup', 'export', join(folder, 'a.zip'), '--json']);
  expect(JSON.parse(log.mock.calls[0]?.[0] as string)).toMatchObject({ ok: true, name: zippedName });
  log.mockRestore();
});
