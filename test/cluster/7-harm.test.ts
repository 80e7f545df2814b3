import { execFile } from 'node:child_process';
import http from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ALL, exec, list, namespace, ROOT, settings, until } from './support';

/** How many requests and pictures are sent. */
const [REQUESTS, PICTURES] = ALL ? [10_000, 1_000] : [1_000, 60];
/** Memory that a container may have grown by. */
const GROWTH_MEBIBYTES = 96;
/** Where a container of the backend may write; what is in outputs, uploads and logs is there by design. */
const WRITABLE = ['/tmp', '/dev/shm', '/run/orfeas', '/app'];
const BY_DESIGN = /^\/(app\/(outputs|uploads|logs)|run\/orfeas\/metrics|tmp\/numba)\//;

async function podOf(name: string) {
  const [pod] = await list('-n', namespace, 'pods', '-l', `app.kubernetes.io/name=${name}`);
  return pod;
}

const restarts = async (): Promise<Record<string, number>> =>
  Object.fromEntries(
    (await Promise.all(['backend', 'web', 'redis'].map(podOf))).flatMap(({ metadata, status }) =>
      status.containerStatuses.map(({ name, restartCount }: { name: string; restartCount: number }) => [
        `${metadata.name}/${name}`,
        restartCount,
      ]),
    ),
  );

/** Memory of a container's processes without what is of files, in MiB. */
async function mebibytes(pod: string, container: string): Promise<number> {
  // A process may end before it is read.
  const maps = await exec(pod, container, 'sh', '-c', 'cat /proc/[0-9]*/smaps_rollup 2>/dev/null || true');
  const kibibytes = [...maps.toString().matchAll(/^Pss_Anon: +(\d+) kB$/gm)].map(([, size]) => Number(size));
  expect(kibibytes).not.toEqual([]);
  return kibibytes.reduce((sum, size) => sum + size, 0) / 1024;
}

const memory = async (): Promise<Record<string, number>> => {
  const of = async (pod: string, container: string) => [`${pod}/${container}`, await mebibytes(pod, container)] as const;
  return Object.fromEntries(
    await Promise.all([
      of('deploy/backend', 'api'),
      of('deploy/backend', 'worker'),
      of('deploy/backend', 'realtime'),
      of('deploy/web', 'nginx'),
    ]),
  );
};

async function filesOfNoFolder(): Promise<string[]> {
  const found = await exec('deploy/backend', 'api', 'find', ...WRITABLE, '-type', 'f');
  return found
    .toString()
    .split('\n')
    .filter(path => path !== '' && !BY_DESIGN.test(path))
    .sort();
}

test('malformed requests and pictures end nothing, are no fault of ours, fill no memory and leave no file', async () => {
  const [web, backend] = await Promise.all([podOf('web'), podOf('backend')]);
  const [restartsBefore, memoryBefore, filesBefore] = await Promise.all([restarts(), memory(), filesOfNoFolder()]);
  for (const [address, pictures] of [
    [`${web.status.podIP}:8080`, 0],
    [`${backend.status.podIP}:5000`, PICTURES],
  ] as const) {
    const args = ['--url', `http://${address}`, '--requests', `${REQUESTS / 2}`, '--pictures', `${pictures}`];
    // It fails, with what it found, when an answer must not be.
    const { stdout } = await promisify(execFile)('python3', [join(ROOT, 'bench/fuzz.py'), ...args]);
    console.log(stdout);
  }
  const queue = 'REDISCLI_AUTH=$(cat /etc/orfeas-redis/password) redis-cli --no-auth-warning llen orfeas:queue';
  await until('the end of the jobs', 300, async () => Number(await exec('redis-0', 'redis', 'sh', '-c', queue)) === 0);
  expect(await restarts()).toEqual(restartsBefore);
  expect(await filesOfNoFolder()).toEqual(filesBefore);
  const grown = Object.entries(await memory()).map(([name, now]) => [name, Math.round(now - (memoryBefore[name] as number))] as const);
  console.log(Object.fromEntries(grown));
  expect(grown.filter(([, growth]) => growth > GROWTH_MEBIBYTES)).toEqual([]);
});

/** Asks web as an edge does for a client of that address. Resolves with the status and the time in milliseconds. */
function ask(host: string, path: string, client: string, agent?: http.Agent): Promise<{ status: number; milliseconds: number }> {
  const start = performance.now();
  const options = { host, port: 8080, path, headers: { 'X-Forwarded-For': client, 'X-Forwarded-Proto': 'https' }, ...(agent && { agent }) };
  return new Promise((resolve, reject) => {
    http
      .get(options, answer => {
        answer.resume().on('end', () => resolve({ status: answer.statusCode ?? 0, milliseconds: performance.now() - start }));
      })
      .on('error', reject);
  });
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number;

/** What an honest client meets with: the page forty times, and four calls of the API, one after the other. */
async function honest(host: string, client: string) {
  const ofPage: number[] = [];
  const ofApi: number[] = [];
  for (let i = 0; i < 40; i += 1) {
    const page = await ask(host, '/', client);
    expect(page.status).toBe(200);
    ofPage.push(page.milliseconds);
    if (i % 10 === 0) {
      const call = await ask(host, `/api/job-status/${'0'.repeat(32)}`, client);
      expect(call.status).toBe(404);
      ofApi.push(call.milliseconds);
    }
    await sleep(100);
  }
  return { page: median(ofPage), api: median(ofApi), slowest: Math.max(...ofPage, ...ofApi) };
}

/** Opens a connection that sends a byte a second, and is opened anew when it is closed. Returns what ends it. */
function slow(host: string, head: string): () => void {
  let socket: Socket | undefined;
  let ended = false;
  const open = () => {
    if (ended) return;
    socket = connect(8080, host)
      .on('error', () => {})
      .on('close', open);
    socket.write(head);
  };
  open();
  const drip = setInterval(() => socket?.writable && socket.write('a'), 1000);
  return () => {
    ended = true;
    clearInterval(drip);
    socket?.destroy();
  };
}

test('1,000 slow connections and ten times the permitted rate leave an honest client served in its usual time', async () => {
  const { podIP: host } = (await podOf('web')).status;
  const { apiPerMinute, generalPerSecond } = settings.rateLimiting;
  const usual = await honest(host, '198.51.100.1');

  const ends = Array.from({ length: 1000 }, (_, i) =>
    slow(
      host,
      // Half of them never end their headers, and half an upload.
      i % 2 === 0
        ? 'GET / HTTP/1.1\r\nHost: studio.localhost\r\nX-Slow: '
        : `POST /api/generate-3d HTTP/1.1\r\nHost: studio.localhost\r\nX-Forwarded-For: 203.0.113.${i % 50}\r\nContent-Length: 1000000\r\n\r\n`,
    ),
  );
  const agent = new http.Agent({ keepAlive: true, maxSockets: 32 });
  const statuses: number[] = [];
  const send = async (path: string) => statuses.push((await ask(host, path, '203.0.113.200', agent)).status);
  const flood = setInterval(() => {
    for (let i = 0; i < generalPerSecond; i += 1) send('/').catch(() => {});
    if (statuses.length % 5 === 0) for (let i = 0; i < apiPerMinute; i += 1) send('/api/job-status/x').catch(() => {});
  }, 100);
  try {
    const under = await honest(host, '198.51.100.2');
    console.log({ usual, under, flood: statuses.length });
    expect(under.page).toBeLessThan(Math.max(5 * usual.page, 100));
    expect(under.api).toBeLessThan(Math.max(5 * usual.api, 250));
    expect(under.slowest).toBeLessThan(2000);
    expect(statuses.filter(status => status === 429).length).toBeGreaterThan(statuses.length / 2);
  } finally {
    clearInterval(flood);
    agent.destroy();
    for (const end of ends) end();
  }
});
