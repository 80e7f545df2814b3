// Measures what the way through the Ingress and web costs, on a cluster where `local` runs: npx tsx bench/requests.ts [--rounds N] [--json]
//
// Run it on a node, whose processes may reach every pod, and with wrk in the PATH. It sends to the pods' own addresses, and deploys the studio
// without rate limits for as long as it takes.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { io, type Socket } from 'socket.io-client';
import { Studio } from '../cli/http';
import { certificate, checkoutWith, command, endpoint, get, host, kubectl, list, namespace, run, settings } from '../test/cluster/support';
import { median, percentile } from './measure';

const MEBIBYTE = 2 ** 20;
const BENCH = 'orfeas-bench';
const PHASE_SECONDS = 10;
/** 100 requests a second, which leaves the backend of `local` idle for most of the time: without queues, an answer takes as long as it takes. */
const PACED = { connections: 4, restMilliseconds: 40 };
const FULL = { connections: 8, restMilliseconds: 0 };
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
  readonly conditions: { readonly rounds: number; readonly phaseSeconds: number; readonly uploads: number; readonly sockets: number };
  readonly targets: { readonly p99OfBackend: number; readonly throughputOfBareNginx: number };
  readonly rows: readonly Row[];
  /** The 99th percentile through web, as a multiple of the backend's own. */
  readonly p99OfBackend: number;
  readonly throughputOfBareNginx: number;
}

/** A place to send requests to. */
interface Way {
  readonly name: string;
  readonly url: string;
  readonly realtime: string;
  /** What connects to the Ingress, whose certificate is for another name than its address. */
  readonly studio?: Studio;
}

async function ways(): Promise<[backend: Way, web: Way, ingress: Way]> {
  const { spec, metadata } = (await Promise.all(settings.edge.namespaces.map(where => list('-n', where, 'services'))))
    .flat()
    .find(({ spec }) => spec.ports.some(({ port }: { port: number }) => port === 443));
  const secure = spec.ports.find(({ port }: { port: number }) => port === 443);
  const ingress = await endpoint(metadata.namespace, metadata.name, secure.name);
  const studio = new Studio({ host, trusted: await certificate(), address: ingress });
  const [backend, realtime, web] = await Promise.all(['backend', 'backend-realtime', 'web'].map(name => endpoint(namespace, name)));
  return [
    { name: 'backend', url: `http://${backend}`, realtime: `http://${realtime}` },
    { name: 'web', url: `http://${web}`, realtime: `http://${web}` },
    { name: 'Ingress', url: `https://${ingress}`, realtime: studio.url, studio },
  ];
}

async function wrk(url: string, { connections, restMilliseconds }: typeof PACED): Promise<Figures> {
  const script = join(__dirname, 'files/wrk.lua');
  const args = ['-t1', `-c${connections}`, `-d${PHASE_SECONDS}s`, '-s', script, '-H', `Host: ${host}`, url, '--', `${restMilliseconds}`];
  const { code, stdout, stderr } = await run('wrk', args);
  if (code !== 0) throw new Error(`wrk ${url}: ${stderr}${stdout}`);
  const { requests, failures, seconds, ...times } = JSON.parse(stdout.toString().trim().split('\n').at(-1) ?? '');
  if (failures > 0) throw new Error(`${failures} of ${requests} requests for ${url} failed`);
  return { perSecond: requests / seconds, ...times };
}

const figuresOf = (milliseconds: readonly number[], seconds: number): Figures => ({
  perSecond: milliseconds.length / seconds,
  p50Milliseconds: percentile(milliseconds, 0.5),
  p99Milliseconds: percentile(milliseconds, 0.99),
});

/** A picture of the greatest size that is taken, refused for its sides once all of it has come: what it takes is the way, and no job. */
async function upload(): Promise<{ body: Buffer; headers: Record<string, string> }> {
  const header = Buffer.from('89504e470d0a1a0a0000000d4948445200001388000013880802000000', 'hex');
  const form = new FormData();
  form.set(
    'image',
    new Blob([new Uint8Array(Buffer.concat([header, Buffer.alloc(settings.uploads.maxMebibytes * MEBIBYTE - header.length)]))]),
  );
  form.set('format', 'glb');
  const encoded = new Response(form);
  return { body: Buffer.from(await encoded.arrayBuffer()), headers: { 'content-type': encoded.headers.get('content-type') ?? '' } };
}

function post({ url, studio }: Way, { body, headers }: Awaited<ReturnType<typeof upload>>): Promise<number> {
  const begin = performance.now();
  return new Promise((resolve, reject) => {
    const options = { method: 'POST', headers: { ...headers, host, 'content-length': body.length, origin: `https://${host}` } };
    const answered = (answer: http.IncomingMessage) => {
      answer.resume();
      if (answer.statusCode === 400) answer.on('end', () => resolve(performance.now() - begin));
      else reject(new Error(`an upload to ${url} was answered ${answer.statusCode}`));
    };
    const request = studio
      ? https.request(`${studio.url}/api/generate-3d`, { ...options, agent: studio.agent }, answered)
      : http.request(`${url}/api/generate-3d`, options, answered);
    request.on('error', reject).end(body);
  });
}

async function uploads(way: Way): Promise<Figures> {
  const picture = await upload();
  const times: number[] = [];
  for (let sent = 0; sent < UPLOADS; sent++) times.push(await post(way, picture));
  return figuresOf(times, times.reduce((sum, time) => sum + time) / 1000);
}

/** Each connection asks for a job and waits for the answer, again and again. */
async function messages({ realtime, studio }: Way, job: string): Promise<Figures> {
  const sockets = await Promise.all(
    Array.from({ length: SOCKETS }, () => {
      const socket = io(realtime, {
        ...(studio && { agent: studio.agent as unknown as string }),
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
async function bareNginx(): Promise<string> {
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
  return `http://${(await get('-n', BENCH, 'pod/nginx')).status.podIP}:8080`;
}

/** A job that has ended, and the path of a file of the page. */
async function subjects({ studio }: Way): Promise<{ job: string; file: string }> {
  const { job } = await command(['smoke']);
  const page = (await (studio as Studio).request('GET', '/')).body.toString();
  return { job, file: `/${page.match(/assets\/[^"]+\.css/)?.[0]}` };
}

interface Measurement {
  readonly what: string;
  readonly way: string;
  readonly measure: () => Promise<Figures>;
}

async function measurements(): Promise<Measurement[]> {
  const all = await ways();
  const [, web, ingress] = all;
  const { job, file } = await subjects(ingress);
  const bare = { name: 'bare nginx', url: await bareNginx() };
  const answers = Object.entries({ [SMALL_ANSWER]: '/health', 'state of a job': `/api/job-status/${job}` });
  return [
    ...answers.flatMap(([what, path]) => [
      ...all.map(({ name, url }) => ({ what, way: name, measure: () => wrk(`${url}${path}`, PACED) })),
      ...all.map(({ name, url }) => ({ what: `${what}, at once`, way: name, measure: () => wrk(`${url}${path}`, FULL) })),
    ]),
    ...[bare, web, ingress].map(({ name, url }) => ({ what: FILE, way: name, measure: () => wrk(`${url}${file}`, FULL) })),
    ...all.map(way => ({ what: 'upload of 50 MiB', way: way.name, measure: () => uploads(way) })),
    ...all.map(way => ({ what: 'WebSocket message', way: way.name, measure: () => messages(way, job) })),
  ];
}

const medians = (all: readonly Figures[]): Figures => {
  const of = (key: keyof Figures) => median(all.map(figures => figures[key]));
  return { perSecond: of('perSecond'), p50Milliseconds: of('p50Milliseconds'), p99Milliseconds: of('p99Milliseconds') };
};

async function measure(rounds: number): Promise<Row[]> {
  const todo = await measurements();
  const taken = todo.map((): Figures[] => []);
  for (let round = 1; round <= rounds; round++)
    for (const [index, { what, way, measure }] of todo.entries()) {
      console.error(`round ${round} of ${rounds}: ${what}, ${way}`);
      taken[index]?.push(await measure());
    }
  return todo.map(({ what, way }, index) => ({ what, way, ...medians(taken[index] as Figures[]) }));
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { rounds: { type: 'string', default: '5' }, json: { type: 'boolean', default: false } } });
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
      conditions: { rounds, phaseSeconds: PHASE_SECONDS, uploads: UPLOADS, sockets: SOCKETS },
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
