import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { value } from './prometheus';
import { Store } from './stores';
import {
  ALL,
  Client,
  command,
  exec,
  get,
  jobStates,
  kubectl,
  list,
  namespace,
  orfeas,
  outputs,
  picture,
  removeNamespace,
  rolledOut,
  signal,
  until,
  verifyBackup,
} from './support';

const grafana = (statement: string): Promise<Buffer> =>
  exec(
    'deploy/grafana',
    'grafana',
    'python3',
    '-c',
    `import sqlite3, sys; db = sqlite3.connect("/var/lib/grafana/grafana.db"); print(db.execute(sys.argv[1]).fetchall()); db.commit()`,
    statement,
  );

/** Jobs that wait, because the worker stands still. */
async function queuedJobs(client: Client): Promise<string[]> {
  const [pod] = await list('-n', namespace, 'pods', '-l', 'app.kubernetes.io/name=backend');
  await signal(pod.metadata.name, 'worker', 'orfeas.worker', 'SIGSTOP');
  const answers = await client.send('POST', '/api/generate-3d', 3, await picture('PNG'));
  expect(answers.map(({ status }) => status)).toEqual([202, 202, 202]);
  return answers.map(({ body }) => JSON.parse(body).job_id);
}

const completed = (jobs: readonly string[]) =>
  until('the jobs that were queued', 120, async () => (await jobStates(jobs)).every(({ status }) => status === 'completed'));

/** What is to survive. */
async function studio(client: Client) {
  for (let picture = 0; picture < 2; picture++) await command(['smoke']);
  const jobs = await queuedJobs(client);
  await grafana(`CREATE TABLE IF NOT EXISTS kept AS SELECT ${Date.now()} AS made`);
  const moment = Math.floor(Date.now() / 1000) - 15;
  return {
    jobs,
    moment,
    outputs: await outputs(),
    marker: (await grafana('SELECT made FROM kept')).toString(),
    series: await value(`count({job=~".+"} @ ${moment})`),
  };
}

async function expectBack({ jobs, moment, outputs: models, marker, series }: Awaited<ReturnType<typeof studio>>): Promise<void> {
  await completed(jobs);
  const now = (await outputs()).split('\n');
  expect(now).toEqual(expect.arrayContaining(models.split('\n')));
  expect((await grafana('SELECT made FROM kept')).toString()).toBe(marker);
  await until('Prometheus', 60, async () => (await value('count(up)')) !== undefined);
  expect(await value(`count({job=~".+"} @ ${moment})`)).toBe(series);
}

afterAll(Client.removeAll);

test('every claim but the backups is destroyed, and all comes back from the last backup', async () => {
  const before = await studio(await Client.create('before'));
  const { name, missing } = await command(['backup']);
  expect(name).toMatch(/^orfeas_backup_\d{8}_\d{6}$/);
  expect(missing).toEqual({});
  expect((await command(['backup', 'list'])).snapshots[0]).toMatchObject({
    name,
    parts: ['outputs', 'logs', 'models', 'monitoring', 'redis', 'configuration'],
  });

  // The worker stands still, so it would not end by itself. A pod holds its claims even when it has ended.
  await kubectl(['-n', namespace, 'delete', 'deployments,statefulsets,jobs', '--all']);
  await kubectl(['-n', namespace, 'delete', 'pods', '--all', '--force', '--grace-period=0']);
  const claims = (await list('-n', namespace, 'persistentvolumeclaims')).map(({ metadata }) => metadata.name);
  await kubectl(['-n', namespace, 'delete', 'pvc', '--wait', ...claims.filter(claim => claim !== 'backups')]);
  await command(['deploy', '--skip-build']);
  expect((await outputs()).trim()).not.toContain('.');

  const restored = await command(['restore', 'latest', '--force']);
  expect(restored).toMatchObject({ snapshot: name, rolledBack: false });
  await expectBack(before);
});

(ALL ? test : test.skip)('a backup goes to a zip and comes back from it', async () => {
  const models = await outputs();
  const folder = mkdtempSync(join(tmpdir(), 'orfeas-zip-'));
  try {
    const file = join(folder, 'studio.zip');
    const { name } = await command(['backup']);
    await command(['backup', 'export', file, name]);
    await exec('deploy/backend', 'api', 'sh', '-c', 'rm /app/outputs/*');
    expect(await command(['restore', '--from', file, '--parts', 'outputs', '--force'])).toMatchObject({ snapshot: name });
    expect(await outputs()).toBe(models);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a backup can be verified, and tells how it went', async () => {
  await verifyBackup();
  await until('the metrics of the backup', 60, async () => (await value('orfeas_backup_last_verification_succeeded')) === 1);
  expect(await value('orfeas_backup_last_attempt_succeeded')).toBe(1);
});

describe('with a repository on another server', () => {
  let store: Store;
  beforeAll(async () => {
    store = await Store.start('rest');
  });
  afterAll(async () => {
    await orfeas(['deploy', '--env', 'local', '--skip-build', '--json']);
    await kubectl(['-n', namespace, 'delete', 'secret', 'repository', '--ignore-not-found']);
    await store.remove();
  });

  test('the namespace is destroyed, and all comes back with the password of the backups', async () => {
    await store.introduce();
    await command(['deploy', '--skip-build'], store.folder);
    const before = await studio(await Client.create('before-the-end'));
    const { name } = await command(['backup'], store.folder);
    const { data } = await get('-n', namespace, 'secret', 'orfeas-backup');

    await removeNamespace(namespace);
    await kubectl(['create', 'namespace', namespace]);
    const password = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'orfeas-backup', namespace }, data };
    await kubectl(['apply', '-f', '-'], Buffer.from(JSON.stringify(password)));
    await store.introduce();
    await command(['deploy', '--skip-build'], store.folder);
    await rolledOut();

    expect(await command(['restore', 'latest', '--force'], store.folder)).toMatchObject({ snapshot: name, rolledBack: false });
    await expectBack(before);
  });
});
