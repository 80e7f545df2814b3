import { Studio } from '../../cli/http';
import { ALL, Client, certificate, host, jobStates, kubectl, list, namespace, picture, rolledOut, trimesh, until } from './support';

const CLIENTS = 3;
/** As many as one client may send at once. */
const JOBS = 10;

let studio: Studio;
beforeAll(async () => {
  studio = new Studio({ host, trusted: await certificate() });
});
afterAll(() => studio.close());
afterAll(Client.removeAll);

const podsOf = (name: string) => list('-n', namespace, 'pods', '-l', `app.kubernetes.io/name=${name}`);

async function running(): Promise<number> {
  const ask = 'REDISCLI_AUTH=$(cat /etc/orfeas-redis/password) redis-cli --no-auth-warning zcard orfeas:running';
  return Number(await kubectl(['-n', namespace, 'exec', 'redis-0', '--', 'sh', '-c', ask]));
}

/** Submits jobs and does harm as soon as one runs. Returns the ids of those that were accepted. */
async function submitDuring(name: string, harm: () => Promise<unknown>): Promise<string[]> {
  const clients = await Promise.all(Array.from({ length: CLIENTS }, (_, index) => Client.create(`${name}-${index}`)));
  const body = await picture('PNG', 2048);
  const sending = Promise.all(clients.map(client => client.send('POST', '/api/generate-3d', JOBS, body)));
  await until('a job under way', 60, async () => (await running()) > 0);
  await harm();
  const accepted = (await sending).flat().filter(({ status }) => status === 202);
  expect(accepted).not.toEqual([]);
  return accepted.map(({ body }) => JSON.parse(body).job_id);
}

async function expectAllDone(ids: readonly string[]): Promise<void> {
  const jobs = await until(`the end of ${ids.length} jobs`, 240, async () => {
    const now = await jobStates(ids);
    return now.every(({ status }) => status === 'completed' || status === 'failed') && now;
  });
  expect(jobs.filter(({ status }) => status === 'failed')).toEqual([]);
  const meshes: Buffer[] = [];
  for (const { outputs } of jobs) meshes.push((await studio.request('GET', outputs?.[0]?.url ?? '')).body);
  expect(meshes.map(({ length }) => length)).toEqual(jobs.map(({ outputs }) => outputs?.[0]?.bytes));
  for (const mesh of meshes.slice(0, 3)) expect((await trimesh(mesh, 'glb')).watertight).toBe(true);
}

const deletions = [
  ['backend', ['--grace-period=0', '--force']],
  ['redis', ['--grace-period=0', '--force']],
  ['backend', []],
  ['redis', []],
  ['web', []],
] as const;
test.each(ALL ? deletions : deletions.slice(0, 2))(
  'deleting the pod of %s %j while jobs run loses no accepted job',
  async (name, options) => {
    const pods = await podsOf(name);
    const names = pods.map(({ metadata }) => metadata.name);
    const ids = await submitDuring(`faults-${name}-${options.length}`, () =>
      kubectl(['-n', namespace, 'delete', 'pod', ...names, '--wait=false', ...options]),
    );
    await until('another pod', 60, async () =>
      (await podsOf(name)).some(({ metadata }) => !pods.some(old => old.metadata.uid === metadata.uid)),
    );
    await rolledOut();
    await expectAllDone(ids);
  },
);

test('a killed worker process is started again, and its jobs are done', async () => {
  const kill = ['exec', 'deploy/backend', '-c', 'worker', '--', 'python', '-c', 'import os, signal; os.kill(1, signal.SIGTERM)'];
  const ids = await submitDuring('faults-process', () => kubectl(['-n', namespace, ...kill]));
  await rolledOut();
  await expectAllDone(ids);
});
