// Measures what the way through the Ingress and web costs, on a cluster where `local` runs: npx tsx bench/requests.ts [--rounds N] [--json]
//
// Run it on a node, whose processes may reach every pod, and with wrk in the PATH. It sends to the pods' own addresses, and deploys the studio
// without rate limits for as long as it takes.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect, parseArgs } from 'node:util';
import { io, type Socket } from 'socket.io-client';
import { checkoutWith, command, exec, get, host, kubectl, namespace, run, settings } from '../test/cluster/support';
import { median, percentile } from './measure';
import { askInTurn, send, type Way, ways } from './ways';

const MEBIBYTE = 2 ** 20;
const BENCH = 'orfeas-bench';
const PHASE_SECONDS = 10;
/** Leaves the backend of `local` idle for most of the time: without queues, an answer takes as long as it takes. */
const PACED_PER_SECOND = 100;
const PACED_SECONDS = 120;
const CONNECTIONS = 8;
const UPLOADS = 30;
const SOCKETS = 20;

const SMALL_ANSWER = 'small answer';
const FILE = 'file of the page, at once';

const MAX_P99_OF_BACKEND = 1.1;
const MIN_OF_BARE_NGINX = 0.9;

/** How one kind of request went in one way. */
export interface Figures {
  readonly perSecond: number;
  readonly p50Milliseconds: number;
  readonly p99Milliseconds: number;
}

export interface Row extends Figures {
  readonly what: string;
  readonly way: string;
}

export interface RequestsResult {
  readonly conditions: {
    readonly rounds: number;
    readonly phaseSeconds: number;
    readonly pacedPerSecond: number;
    readonly pacedSeconds: number;
    readonly connections: number;
    readonly uploads: number;
    readonly sockets: number;
  };
  readonly targets: { readonly p99OfBackend: number; readonly throughputOfBareNginx: number };
  readonly rows: readonly Row[];
  /** The 99th percentile through web, as a multiple of the backend's own. */
  readonly p99OfBackend: number;
  readonly throughputOfBareNginx: number;
}

const figuresOf = (milliseconds: readonly number[], seconds: number): Figures => ({
  perSecond: milliseconds.length / seconds,
  p50Milliseconds: percentile(milliseconds, 0.5),
  p99Milliseconds: percentile(milliseconds, 0.99),
});

/** Sends as many as are answered. */
async function atOnce({ url, address }: Pick<Way, 'url' | 'address'>, path: string): Promise<Figures> {
  const [hostname, port] = address.split(':');
  const { code, stdout, stderr } = await run('env', [
    ...[`ADDRESS=${hostname}`, `PORT=${port}`, 'wrk', '-t1', `-c${CONNECTIONS}`, `-d${PHASE_SECONDS}s`],
    ...['-s', join(__dirname, 'files/wrk.lua'), `${new URL(url).protocol}//${host}${path}`],
  ]);
  if (code !== 0) throw new Error(`wrk ${url}${path}: ${stderr}${stdout}`);
  const { requests, failures, seconds, ...times } = JSON.parse(stdout.toString().trim().split('\n').at(-1) ?? '');
  if (failures > 0) throw new Error(`${failures} of ${requests} requests for ${url}${path} failed`);
  return { perSecond: requests / seconds, ...times };
}

async function paced(all: readonly Way[], path: string): Promise<Figures[]> {
  const times = await askInTurn(all, path, 1000 / PACED_PER_SECOND, AbortSignal.timeout(1000 * PACED_SECONDS));
  return times.map(milliseconds => figuresOf(milliseconds, PACED_SECONDS));
}

/** The largest file that is taken, refused as a damaged picture once all of it has come: what it takes is the way, and no job. */
async function upload(): Promise<{ body: Buffer; headers: Record<string, string> }> {
  const signature = Buffer.from('89504e470d0a1a0a', 'hex');
  const file = Buffer.concat([signature, Buffer.alloc(settings.uploads.maxMebibytes * MEBIBYTE - signature.length)]);
  const form = new FormData();
  form.set('image', new Blob([new Uint8Array(file)]), 'damaged.png');
  const encoded = new Response(form);
  return { body: Buffer.from(await encoded.arrayBuffer()), headers: { 'content-type': encoded.headers.get('content-type') ?? '' } };
}

async function uploads(way: Way): Promise<Figures> {
  const { body, headers } = await upload();
  const times: number[] = [];
  for (let sent = 0; sent < UPLOADS; sent++) {
    times.push(await send(way, '/api/generate-3d', 422, { method: 'POST', headers: { ...headers, origin: `https://${host}` } }, body));
  }
  return figuresOf(times, times.reduce((sum, time) => sum + time) / 1000);
}

/** Each connection asks for a job and waits for the answer, again and again. */
async function messages({ realtime, agent }: Way, job: string): Promise<Figures> {
  const sockets = await Promise.all(
    Array.from({ length: SOCKETS }, () => {
      const socket = io(realtime, {
        agent: agent as unknown as string,
        extraHeaders: { host },
        forceNew: true,
        transports: ['websocket'],
        reconnection: false,
      });
      return new Promise<Socket>((resolve, reject) => socket.on('connect', () => resolve(socket)).on('connect_error', reject));
    }),
  );
  const end = performance.now() + PHASE_SECONDS * 1000;
  const times: number[] = [];
  const ask = async (socket: Socket): Promise<void> => {
    while (performance.now() < end) {
      const begin = performance.now();
      const { status } = await socket.emitWithAck('subscribe', { job_id: job });
      if (status !== 'completed') throw new Error(`a message was answered with a job that is ${status}`);
      times.push(performance.now() - begin);
    }
  };
  await Promise.all(sockets.map(ask));
  for (const socket of sockets) socket.disconnect();
  return figuresOf(times, PHASE_SECONDS);
}

/** nginx with the page's files, in a pod like that of web. */
async function bareNginx(): Promise<Pick<Way, 'name' | 'url' | 'address'>> {
  const { containers, securityContext } = (await get('-n', namespace, 'deployment/web')).spec.template.spec;
  const { image, resources } = containers.find(({ name }: { name: string }) => name === 'nginx');
  const metadata = { name: 'nginx', namespace: BENCH };
  const items = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: BENCH } },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'nginx.conf': readFileSync(join(__dirname, 'files/nginx.conf'), 'utf8') } },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata,
      spec: {
        securityContext,
        containers: [
          {
            name: 'nginx',
            image,
            resources,
            command: ['nginx', '-c', '/etc/bench/nginx.conf', '-g', 'daemon off;'],
            volumeMounts: [{ name: 'configuration', mountPath: '/etc/bench' }],
          },
        ],
        volumes: [{ name: 'configuration', configMap: { name: 'nginx' } }],
      },
    },
  ];
  await kubectl(['apply', '-f', '-'], Buffer.from(JSON.stringify({ apiVersion: 'v1', kind: 'List', items })));
  await kubectl(['-n', BENCH, 'wait', '--for=condition=Ready', 'pod/nginx', '--timeout=60s']);
  const address = `${(await get('-n', BENCH, 'pod/nginx')).status.podIP}:8080`;
  return { name: 'bare nginx', url: `http://${address}`, address };
}

interface Measurement {
  readonly what: string;
  readonly ways: readonly string[];
  /** Figures of each way. */
  readonly measure: () => Promise<readonly Figures[]>;
}

function inTurn<T extends { readonly name: string }>(what: string, all: readonly T[], measure: (way: T) => Promise<Figures>): Measurement {
  const each = async () => {
    const figures: Figures[] = [];
    for (const way of all) figures.push(await measure(way));
    return figures;
  };
  return { what, ways: all.map(({ name }) => name), measure: each };
}

async function measurements(): Promise<Measurement[]> {
  const all = await ways();
  const [, web, ingress] = all;
  const { job } = await command(['smoke']);
  const page = (await exec('deploy/web', 'nginx', 'sh', '-c', 'cd /usr/share/nginx/html && ls assets/*/*.css')).toString().trim();
  const answers = Object.entries({ [SMALL_ANSWER]: '/health', 'state of a job': `/api/job-status/${job}` });
  return [
    ...answers.map(([what, path]) => ({ what, ways: all.map(({ name }) => name), measure: () => paced(all, path) })),
    ...answers.map(([what, path]) => inTurn(`${what}, at once`, all, way => atOnce(way, path))),
    inTurn(FILE, [await bareNginx(), web, ingress], way => atOnce(way, `/${page}`)),
    inTurn('upload of 50 MiB', all, uploads),
    inTurn('WebSocket message', all, way => messages(way, job)),
  ];
}

const medians = (all: readonly Figures[]): Figures => {
  const of = (key: keyof Figures) => median(all.map(figures => figures[key]));
  return { perSecond: of('perSecond'), p50Milliseconds: of('p50Milliseconds'), p99Milliseconds: of('p99Milliseconds') };
};

async function measure(rounds: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const { what, ways, measure } of await measurements()) {
    const taken = ways.map((): Figures[] => []);
    for (let round = 1; round <= rounds; round++)
      for (const [way, figures] of (await measure()).entries()) {
        console.error(`${what}, round ${round} of ${rounds}, ${ways[way]}: ${inspect(figures, { breakLength: Number.POSITIVE_INFINITY })}`);
        taken[way]?.push(figures);
      }
    rows.push(...ways.map((way, of) => ({ what, way, ...medians(taken[of] as Figures[]) })));
  }
  return rows;
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { rounds: { type: 'string', default: '3' }, json: { type: 'boolean', default: false } } });
  const rounds = Number(values.rounds);
  const unlimited = checkoutWith('config/local.ts', { 'web: {': 'rateLimiting: { enabled: false },\n  web: {' });
  try {
    await command(['deploy', '--skip-build', '--skip-backup'], unlimited.folder);
    const rows = await measure(rounds);
    const ratio = (what: string, key: keyof Figures, way: string, other: string): number => {
      const [one, base] = [way, other].map(name => rows.find(row => row.what === what && row.way === name)) as [Row, Row];
      return one[key] / base[key];
    };
    const result: RequestsResult = {
      conditions: {
        rounds,
        phaseSeconds: PHASE_SECONDS,
        pacedPerSecond: PACED_PER_SECOND,
        pacedSeconds: PACED_SECONDS,
        connections: CONNECTIONS,
        uploads: UPLOADS,
        sockets: SOCKETS,
      },
      targets: { p99OfBackend: MAX_P99_OF_BACKEND, throughputOfBareNginx: MIN_OF_BARE_NGINX },
      rows,
      p99OfBackend: ratio(SMALL_ANSWER, 'p99Milliseconds', 'web', 'backend'),
      throughputOfBareNginx: ratio(FILE, 'perSecond', 'web', 'bare nginx'),
    };
    if (values.json) console.log(JSON.stringify(result, undefined, 2));
    else {
      console.table(rows);
      console.log(`p99 through web is ${result.p99OfBackend.toFixed(2)} of the backend's own (at most ${MAX_P99_OF_BACKEND})`);
      console.log(`web serves ${result.throughputOfBareNginx.toFixed(2)} of the files of bare nginx (at least ${MIN_OF_BARE_NGINX})`);
    }
    if (result.p99OfBackend > MAX_P99_OF_BACKEND || result.throughputOfBareNginx < MIN_OF_BARE_NGINX) process.exitCode = 1;
  } finally {
    unlimited.remove();
    await kubectl(['delete', 'namespace', BENCH, '--ignore-not-found']);
    await command(['deploy', '--skip-build', '--skip-backup']);
  }
}

void main();
