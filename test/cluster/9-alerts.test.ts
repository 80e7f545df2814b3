import { execFileSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { Studio } from '../../cli/http';
import { allUp, firing } from './prometheus';
import {
  ALL,
  Client,
  certificate,
  exec,
  folderOf,
  get,
  host,
  kubectl,
  list,
  namespace,
  orfeas,
  picture,
  rolledOut,
  until,
} from './support';

const redis = (...command: readonly string[]) =>
  exec(
    'redis-0',
    'redis',
    'sh',
    '-c',
    'REDISCLI_AUTH=$(cat /etc/orfeas-redis/password) redis-cli --no-auth-warning "$@"',
    'redis-cli',
    ...command,
  );
const inWorker = (program: string) => exec('deploy/backend', 'worker', 'python', '-c', program);
const scale = (object: string, replicas: number) => kubectl(['-n', namespace, 'scale', object, `--replicas=${replicas}`]);

const suspendBackups = (suspend: boolean) =>
  kubectl(['-n', namespace, 'patch', 'cronjob', 'backup', '--patch', JSON.stringify({ spec: { suspend } })]);

/** Stops the schedule, whose last backup was made so many hours ago. */
async function stopBackups(hours: number): Promise<void> {
  await suspendBackups(true);
  const { spec } = (await get('-n', namespace, 'cronjob', 'backup')).spec.jobTemplate;
  const [archive] = spec.template.spec.containers;
  archive.args.push('--time', new Date(Date.now() - hours * 3_600_000).toISOString());
  const job = { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'late', namespace }, spec };
  await kubectl(['apply', '-f', '-'], Buffer.from(JSON.stringify(job)));
  await kubectl(['-n', namespace, 'wait', '--for=condition=Complete', 'job/late', '--timeout=120s']);
}

/** Says that users meet errors, and blames nothing. */
const isSymptom = (alert: string): boolean => alert.endsWith('Burn');
const causes = async (): Promise<string[]> => (await firing()).filter(alert => !isSymptom(alert));

let studio: Studio;
beforeAll(async () => {
  studio = new Studio({ host, trusted: await certificate() });
  await rolledOut();
  await allUp();
  await expectQuiet(1200);
});
afterAll(() => studio.close());
afterAll(Client.removeAll);

/** Waits until an alert fires, and sees that no other one does but symptoms and what fires for another cause. */
async function expectAlone(alert: string, seconds: number, others: readonly string[] = []): Promise<void> {
  const began = Date.now();
  await until(alert, seconds, async () => (await firing()).includes(alert));
  console.info(`${alert} fires ${Math.round((Date.now() - began) / 1000)} s after its cause`);
  expect((await causes()).filter(name => name === alert || !others.includes(name))).toEqual([alert]);
}

/** What fires for some time after its end. */
const unforgotten = ALL ? ['OrfeasVolumeNearlyFull', 'OrfeasBackupMissing'] : [];

/** Waits until nothing fires again. */
const expectQuiet = (seconds: number) => until('the end of the alerts', seconds, async () => (await causes()).length === 0);

async function restart(): Promise<void> {
  await kubectl(['-n', namespace, 'delete', 'pod', '-l', 'app.kubernetes.io/name=backend']);
  await rolledOut();
  // Failures before the first samples of a pod are in none of its rates.
  await allUp();
}

(ALL ? test : test.skip)('a claim filled and the backup stopped', async () => {
  const cache = await folderOf('hy3dgen-cache');
  // The node's volumes have no size of their own: this one gets one.
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64m,mode=0777', 'tmpfs', cache]);
  try {
    await restart();
    await exec('deploy/backend', 'worker', 'sh', '-c', 'head -c 62M /dev/zero >/app/models/hy3dgen/filler');
    await stopBackups(27);
    const slow = ['OrfeasBackupMissing', 'OrfeasVolumeNearlyFull'];
    for (const alert of slow) await expectAlone(alert, 600, slow);
  } finally {
    await suspendBackups(false);
    await kubectl(['-n', namespace, 'delete', 'job', 'late', '--ignore-not-found']);
    await redis('del', 'orfeas:backup');
    execFileSync('umount', ['--lazy', cache]);
    await restart();
  }
});

test('jobs that fail and a worker killed are told apart', async () => {
  const outputs = join(await folderOf('outputs'), 'outputs');
  await restart();
  chmodSync(outputs, 0o555);
  try {
    const client = await Client.create('alerts');
    const answers = await client.send('POST', '/api/generate-3d', 6, await picture('PNG'));
    expect(answers.map(({ status }) => status)).toEqual(Array(6).fill(202));
    await expectAlone('OrfeasJobsFailing', 300, unforgotten);
  } finally {
    chmodSync(outputs, 0o777);
  }
  await inWorker('import os, signal; os.kill(1, signal.SIGTERM)');
  await expectAlone('OrfeasWorkerRestarts', 240, ['OrfeasJobsFailing', ...unforgotten]);
});

(ALL ? test : test.skip)('a model that does not load', async () => {
  const [pod] = await list('-n', namespace, 'pods', '-l', 'app.kubernetes.io/name=backend');
  await kubectl([
    '-n',
    namespace,
    'patch',
    'configmap',
    'backend-env',
    '--type=merge',
    '-p',
    JSON.stringify({ data: { MODEL_ENGINE: 'hunyuan3d', DEVICE: 'cuda' } }),
  ]);
  try {
    await kubectl(['-n', namespace, 'delete', 'pod', pod.metadata.name, '--wait=false']);
    await expectAlone('OrfeasModelNotReady', 480, ['OrfeasJobsFailing', 'OrfeasWorkerRestarts', ...unforgotten]);
  } finally {
    await orfeas(['deploy', '--env', 'local', '--skip-build', '--json']);
    await kubectl(['-n', namespace, 'delete', 'pod', '-l', 'app.kubernetes.io/name=backend']);
  }
  await rolledOut();
});

// At the end: a worker that ends because Redis was away is told as that, for a quarter of an hour.
(ALL ? test : test.skip)('Redis stopped', async () => {
  await scale('statefulset/redis', 0);
  try {
    await expectAlone('OrfeasRedisDown', 240, ['OrfeasJobsFailing', 'OrfeasWorkerRestarts', ...unforgotten]);
  } finally {
    await scale('statefulset/redis', 1);
  }
  await rolledOut();
  await until('the end of the alert', 240, async () => !(await firing()).includes('OrfeasRedisDown'));
});
