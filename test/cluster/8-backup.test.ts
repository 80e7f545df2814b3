import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { value } from './prometheus';
import {
  Client,
  checkoutWith,
  get,
  kubectl,
  list,
  namespace,
  orfeas,
  picture,
  ROOT,
  rolledOut,
  signal,
  until,
  verifyBackup,
} from './support';

const exec = (pod: string, container: string, ...command: readonly string[]) =>
  kubectl(['-n', namespace, 'exec', pod, '-c', container, '--', ...command]);

/** Runs the command, which must succeed, and returns its document. */
async function command(args: readonly string[], folder?: string) {
  const { code, stdout, stderr } = await orfeas([...args, '--env', 'local', '--json'], folder);
  if (code !== 0) throw new Error(`orfeas ${args.join(' ')}: ${stdout}${stderr}`);
  return JSON.parse(stdout.toString());
}

/** SHA-256 of each model, by its name. */
const outputs = async (): Promise<string> =>
  (await exec('deploy/backend', 'api', 'sh', '-c', 'cd /app/outputs && sha256sum * | sort')).toString();

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
  until('the jobs that were queued', 120, async () => {
    const program = `
import json, sys, urllib.request
print(json.dumps([json.load(urllib.request.urlopen(f"http://127.0.0.1:5000/api/job-status/{job}"))["status"] for job in sys.argv[1:]]))`;
    const states: string[] = JSON.parse((await exec('deploy/backend', 'api', 'python', '-c', program, ...jobs)).toString());
    return states.every(state => state === 'completed');
  });

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

const podsOf = (job: string) => list('-n', namespace, 'pods', '-l', `batch.kubernetes.io/job-name=${job}`);

test('a restore whose command and pod are killed is brought to its end by the next one', async () => {
  const models = await outputs();
  const { name } = await command(['backup']);
  await command(['smoke']);
  const cut = spawn(process.execPath, ['cli/bin.js', 'restore', name, '--force', '--env', 'local'], { cwd: ROOT, stdio: 'ignore' });
  const started = () =>
    until('the pod of the restore', 120, async () => {
      const jobs = (await list('-n', namespace, 'jobs')).filter(job => job.metadata.name.startsWith('restore-') && !job.status.succeeded);
      const [pod] = jobs[0] ? await podsOf(jobs[0].metadata.name) : [];
      return pod?.status.phase === 'Pending' || pod?.status.phase === 'Running' ? pod.metadata.name : undefined;
    });
  const pod = await started();
  cut.kill('SIGKILL');
  await kubectl(['-n', namespace, 'delete', 'pod', pod, '--force', '--grace-period=0']);
  expect(await command(['restore', name, '--force'])).toMatchObject({ snapshot: name, rolledBack: false });
  expect(await outputs()).toBe(models);
  await command(['restore', '--undo', '--force']);
  expect((await outputs()).split('\n').length).toBe(models.split('\n').length + 1);
});

test('a backup whose pod is killed leaves no half of one, and its Job makes it again', async () => {
  const names = async (): Promise<string[]> => (await command(['backup', 'list'])).snapshots.map(({ name }: { name: string }) => name);
  const before = await names();
  await kubectl(['-n', namespace, 'create', 'job', 'killed', '--from=cronjob/backup']);
  const pod = await until('the archive', 60, async () => {
    const [found] = await podsOf('killed');
    const archive = found?.status.containerStatuses?.find((container: { name: string }) => container.name === 'archive');
    return archive?.state.running && found.metadata.name;
  });
  await signal(pod, 'archive', 'orfeas_backup', 'SIGKILL');
  await kubectl(['-n', namespace, 'wait', '--for=condition=Complete', 'job/killed', '--timeout=300s']);
  const made = (await names()).filter(name => !before.includes(name));
  expect(made).toHaveLength(1);
  expect((await command(['restore', made[0] as string, '--dry-run'])).snapshot).toBe(made[0]);
});

test('a backup goes to a zip and comes back from it', async () => {
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
  const store = 'orfeas-backups';
  const credentials = { username: 'orfeas', password: 'append-and-read' };
  const changed = checkoutWith('config/local.ts', {
    'backup: { resources': `backup: {
    repository: { at: 'rest', url: 'http://rest-server.${store}.svc:8000/studio', credentialsSecret: 'repository' },
    resources`,
  });
  const image = 'docker.io/restic/rest-server:0.14.0';

  const createSecret = () =>
    kubectl([
      ...['-n', namespace, 'create', 'secret', 'generic', 'repository'],
      ...Object.entries(credentials).map(([key, text]) => `--from-literal=${key}=${text}`),
    ]);

  beforeAll(async () => {
    execFileSync(join(__dirname, 'stand-ins'), [image]);
    const labels = { app: 'rest-server' };
    const hash = createHash('sha1').update(credentials.password).digest('base64');
    const items = [
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: store } },
      {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'rest-server', namespace: store },
        data: { htpasswd: `${credentials.username}:{SHA}${hash}\n` },
      },
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'rest-server', namespace: store, labels },
        spec: {
          containers: [
            {
              name: 'rest-server',
              image,
              args: ['--htpasswd-file=/config/htpasswd'],
              readinessProbe: { tcpSocket: { port: 8000 } },
              volumeMounts: [
                { name: 'data', mountPath: '/data' },
                { name: 'config', mountPath: '/config' },
              ],
            },
          ],
          volumes: [
            { name: 'data', emptyDir: {} },
            { name: 'config', configMap: { name: 'rest-server' } },
          ],
        },
      },
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'rest-server', namespace: store },
        spec: { selector: labels, ports: [{ port: 8000 }] },
      },
    ];
    await kubectl(['apply', '-f', '-'], Buffer.from(JSON.stringify({ apiVersion: 'v1', kind: 'List', items })));
    await kubectl(['-n', store, 'wait', '--for=condition=Ready', 'pod/rest-server', '--timeout=120s']);
  });
  afterAll(async () => {
    changed.remove();
    await orfeas(['deploy', '--env', 'local', '--skip-build', '--json']);
    await kubectl(['-n', namespace, 'delete', 'secret', 'repository', '--ignore-not-found']);
    await kubectl(['delete', 'namespace', store]);
  });

  test('the namespace is destroyed, and all comes back with the password of the backups', async () => {
    await createSecret();
    await command(['deploy', '--skip-build'], changed.folder);
    const before = await studio(await Client.create('before-the-end'));
    const { name } = await command(['backup'], changed.folder);
    const { data } = await get('-n', namespace, 'secret', 'orfeas-backup');

    // No pod comes instead of one that is deleted now.
    await kubectl(['delete', 'namespace', namespace, '--wait=false']);
    await kubectl(['-n', namespace, 'delete', 'pods', '--all', '--force', '--grace-period=0']);
    await kubectl(['wait', '--for=delete', `namespace/${namespace}`, '--timeout=300s']);
    await kubectl(['create', 'namespace', namespace]);
    const password = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'orfeas-backup', namespace }, data };
    await kubectl(['apply', '-f', '-'], Buffer.from(JSON.stringify(password)));
    await createSecret();
    await command(['deploy', '--skip-build'], changed.folder);
    await rolledOut();

    expect(await command(['restore', 'latest', '--force'], changed.folder)).toMatchObject({ snapshot: name, rolledBack: false });
    await expectBack(before);
  });
});
