import { Studio } from '../../cli/http';
import { Client, certificate, host, kubectl, list, namespace, picture, python, rolledOut, trimesh, until } from './support';

const JOBS = 8;

let studio: Studio;
beforeAll(async () => {
  studio = new Studio({ host, trusted: await certificate() });
});
afterAll(() => studio.close());
afterAll(Client.removeAll);

/** The jobs' states, asked of the backend itself: the way through web is limited by address. */
async function states(ids: readonly string[]): Promise<{ status: string; outputs?: { url: string }[]; error?: unknown }[]> {
  const program = `
import json, sys, urllib.request
def state(id):
    request = urllib.request.Request(f"http://127.0.0.1:5000/api/job-status/{id}", headers={"X-Forwarded-For": f"192.0.2.{hash(id) % 250}"})
    return json.load(urllib.request.urlopen(request, timeout=10))
print(json.dumps([state(id) for id in sys.argv[1:]]))`;
  return JSON.parse((await python(program, ids)).toString());
}

const podsOf = (name: string) => list('-n', namespace, 'pods', '-l', `app.kubernetes.io/name=${name}`);

async function submitAll(name: string): Promise<string[]> {
  const client = await Client.create(name);
  const answers = await client.send('POST', '/api/generate-3d', JOBS, await picture('PNG', 2048));
  expect(answers.map(({ status }) => status)).toEqual(Array(JOBS).fill(202));
  return answers.map(({ body }) => JSON.parse(body).job_id);
}

async function expectAllDone(ids: readonly string[]): Promise<void> {
  const jobs = await until(`the end of ${ids.length} jobs`, 240, async () => {
    const now = await states(ids);
    return now.every(({ status }) => status === 'completed' || status === 'failed') && now;
  });
  expect(jobs.filter(({ status }) => status === 'failed')).toEqual([]);
  for (const { outputs } of jobs) {
    const { status, body } = await studio.request('GET', outputs?.[0]?.url ?? '');
    expect(status).toBe(200);
    expect((await trimesh(body, 'glb')).watertight).toBe(true);
  }
}

test.each([
  ['backend', ['--grace-period=0', '--force']],
  ['backend', []],
  ['redis', ['--grace-period=0', '--force']],
  ['redis', []],
  ['web', []],
] as const)('deleting the pod of %s %j while jobs run loses no accepted job', async (name, options) => {
  const ids = await submitAll(`faults-${name}-${options.length}`);
  const pods = await podsOf(name);
  await kubectl(['-n', namespace, 'delete', 'pod', ...pods.map(({ metadata }) => metadata.name), '--wait=false', ...options]);
  await until('another pod', 60, async () =>
    (await podsOf(name)).some(({ metadata }) => !pods.some(old => old.metadata.uid === metadata.uid)),
  );
  await rolledOut();
  await expectAllDone(ids);
});

test('a killed worker process is started again, and its jobs are done', async () => {
  const ids = await submitAll('faults-process');
  await kubectl([
    '-n',
    namespace,
    'exec',
    'deploy/backend',
    '-c',
    'worker',
    '--',
    'python',
    '-c',
    'import os, signal; os.kill(1, signal.SIGTERM)',
  ]);
  await expectAllDone(ids);
});
