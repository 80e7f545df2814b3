import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from 'node:http';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { buildApp } from '../../../app';
import { parseSettings, type Settings, type SettingsInput } from '../../../config';
import { production } from '../../../config/production';
import { Stub } from './stub';

const IMAGE = join(__dirname, '..');
/** A user without rights, as in the pod. */
const UID = 10002;
const user = process.getuid?.() === 0 ? { uid: UID, gid: UID } : {};

export interface Ports {
  readonly web: number;
  /** Where Prometheus asks. */
  readonly metrics: number;
  /** nginx's stub_status. */
  readonly status: number;
  readonly backend: number;
  readonly realtime: number;
}

/** Settings of production, in which the tests' own address is the edge's. */
export const settingsWith = (change: Partial<SettingsInput>): Settings =>
  parseSettings({ ...production, web: { trustedProxies: ['127.0.0.1/32'] }, ...change });

/** The files that the ConfigMap `web-files` holds. */
function configFiles(settings: Settings): Record<string, string> {
  return buildApp(settings)
    .charts.flatMap(chart => chart.toJson())
    .find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === 'web-files').data;
}

/** A folder with the page and the pod's configuration, where only places and ports differ from the pod's. */
function prepare(settings: Settings, ports: Ports): string {
  const folder = mkdtempSync(join(tmpdir(), 'orfeas-web-'));
  chmodSync(folder, 0o755);
  execFileSync(join(IMAGE, 'build-page'), [join(IMAGE, 'html'), join(folder, 'html')]);
  for (const writable of ['cache', 'tmp']) {
    mkdirSync(join(folder, writable));
    if (user.uid) chownSync(join(folder, writable), user.uid, user.gid);
  }
  const { 'nginx.conf': main = '', ...others } = configFiles(settings);
  const files = {
    ...others,
    'nginx.conf': main
      .replaceAll('/var/cache/nginx', join(folder, 'cache'))
      .replaceAll('/tmp/nginx.pid', join(folder, 'tmp/nginx.pid'))
      .replaceAll('/usr/share/nginx/html', join(folder, 'html'))
      .replaceAll('/etc/nginx/orfeas', folder)
      .replaceAll('listen 8080', `listen 127.0.0.1:${ports.web}`)
      .replaceAll('listen 9114', `listen 127.0.0.1:${ports.metrics}`)
      .replaceAll('listen 127.0.0.1:8081', `listen 127.0.0.1:${ports.status}`)
      .replaceAll('server backend:5000', `server 127.0.0.1:${ports.backend}`)
      .replaceAll('server backend-realtime:5001', `server 127.0.0.1:${ports.realtime}`),
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return folder;
}

const command = (folder: string): string[] => ['-c', join(folder, 'nginx.conf'), '-g', 'daemon off;'];

/** What `nginx -t` says: its exit status and messages. */
export function checkConfiguration(settings: Settings): { status: number | null; messages: string } {
  const folder = prepare(settings, { web: 8080, metrics: 9114, status: 8081, backend: 5000, realtime: 5001 });
  try {
    const { status, stderr } = spawnSync('nginx', ['-t', ...command(folder)], {
      encoding: 'utf8',
      stdio: ['ignore', 'ignore', 'pipe'],
      ...user,
    });
    return { status, messages: stderr };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export const freePort = (): Promise<number> =>
  new Promise(resolve => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn, as they came. */
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: each test looks into what it expects
  readonly json: any;
}

export interface Ask {
  readonly method?: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: Buffer | string;
  /** Address of this machine that the request comes from. */
  readonly from?: string;
  /** Instead of the one that clients reach. */
  readonly port?: number;
}

/** A running nginx. */
export class Nginx {
  private constructor(
    readonly ports: Ports,
    private readonly folder: string,
    private readonly process: ReturnType<typeof spawn>,
  ) {}

  /** @throws Error with nginx's own messages when it ends instead of answering. */
  static async start(settings: Settings, upstreams: Pick<Ports, 'backend' | 'realtime'>): Promise<Nginx> {
    const ports = { ...upstreams, web: await freePort(), metrics: await freePort(), status: await freePort() };
    const folder = prepare(settings, ports);
    const log = join(folder, 'log');
    const output = openSync(log, 'a');
    if (user.uid) chownSync(log, user.uid, user.gid);
    const child = spawn('nginx', command(folder), { stdio: ['ignore', output, output], ...user });
    const nginx = new Nginx(ports, folder, child);
    for (;;) {
      try {
        await nginx.ask('/healthz');
        return nginx;
      } catch {
        if (child.exitCode !== null) throw new Error(`nginx ended with ${child.exitCode}:\n${nginx.log}`);
        await setTimeout(20);
      }
    }
  }

  async stop(): Promise<void> {
    const ended = new Promise(resolve => this.process.once('exit', resolve));
    this.process.kill('SIGTERM');
    await ended;
    rmSync(this.folder, { recursive: true });
  }

  /** Process ids of the workers. */
  get workers(): number[] {
    const { pid } = this.process;
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
  }

  /** Resolves once new workers have taken over, and the old ones are gone. */
  async reload(): Promise<void> {
    const old = this.workers;
    this.process.kill('SIGHUP');
    while (this.workers.some(pid => old.includes(pid))) await setTimeout(20);
    await this.ask('/healthz');
  }

  get log(): string {
    return readFileSync(join(this.folder, 'log'), 'utf8');
  }

  /** The log, with the lines of all requests before: nginx holds them back for a moment. */
  async logged(): Promise<string> {
    const last = `/${randomUUID()}`;
    await this.ask(last);
    while (!this.log.includes(`"path":"${last}"`)) await setTimeout(20);
    return this.log;
  }

  /** Sends the path as it is, where fetch would tidy it up. */
  ask(path: string, { method = 'GET', headers = {}, body, from, port = this.ports.web }: Ask = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port, path, method, headers, agent: false, ...(from && { localAddress: from }) };
      request(options, async response => {
        const received = Buffer.concat(await response.toArray());
        resolve({
          status: response.statusCode as number,
          headers: response.headers,
          rawHeaders: response.rawHeaders,
          body: received,
          get text() {
            return received.toString();
          },
          get json() {
            return JSON.parse(received.toString());
          },
        });
      })
        .on('error', reject)
        .end(body);
    });
  }

  /** Opens a connection of another protocol, as a WebSocket's handshake does. */
  upgrade(path: string): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      request({ host: '127.0.0.1', port: this.ports.web, path, headers: { Connection: 'Upgrade', Upgrade: 'websocket' }, agent: false })
        .on('upgrade', (_, socket) => resolve(socket))
        .on('response', ({ statusCode }) => reject(new Error(`answered ${statusCode} instead of an upgrade`)))
        .on('error', reject)
        .end();
    });
  }

  /** Opens a connection, and sends the text as it is. */
  send(text: string): Socket {
    const socket = connect(this.ports.web, '127.0.0.1').on('error', () => {});
    socket.write(text);
    return socket;
  }

  /** Sends the text as it is. Resolves with all that comes back until the connection closes. */
  async exchange(text: string): Promise<string> {
    return Buffer.concat(await this.send(text).toArray()).toString('latin1');
  }
}

/** Runs a test's body with an nginx of its own, whose settings differ from production's. */
export async function withNginx(change: Partial<SettingsInput>, body: (nginx: Nginx, backend: Stub) => Promise<void>): Promise<void> {
  const backend = new Stub();
  const port = await backend.listen();
  const nginx = await Nginx.start(settingsWith(change), { backend: port, realtime: port });
  try {
    await body(nginx, backend);
  } finally {
    await nginx.stop();
    await backend.close();
  }
}
