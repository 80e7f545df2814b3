import { type ExecFileException, execFile, execFileSync, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadSettings } from '../../config';
import { ROOT } from '../../root';

export { ROOT } from '../../root';
export { checkoutWith } from '../checkout';

/** Whether tests that repeat much of others, or mostly wait, run as well: with `TESTS=all`, as before a release. */
export const ALL = process.env.TESTS === 'all';

export const settings = loadSettings('local');
export const { namespace, host } = settings;

export interface Result {
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export function run(file: string, args: readonly string[], { input, cwd = ROOT }: { input?: Buffer; cwd?: string } = {}): Promise<Result> {
  return new Promise(resolve => {
    const done = (error: ExecFileException | null, stdout: Buffer, stderr: Buffer) =>
      resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr: stderr.toString() });
    const child = execFile(file, args, { cwd, encoding: 'buffer', maxBuffer: 2 ** 30, env: { ...process.env, NO_COLOR: '1' } }, done);
    child.stdin?.end(input);
  });
}

/** Runs the orfeas command, in this checkout or another. */
export const orfeas = (args: readonly string[], cwd = ROOT): Promise<Result> => run(process.execPath, ['cli/bin.js', ...args], { cwd });

/** Runs kubectl, which must succeed, and returns what it printed. */
export async function kubectl(args: readonly string[], input?: Buffer): Promise<Buffer> {
  const { code, stdout, stderr } = await run('kubectl', args, input ? { input } : {});
  if (code !== 0) throw new Error(`kubectl ${args.slice(0, 6).join(' ')} failed: ${stderr}`);
  return stdout;
}

/** Applies objects by the server. */
export const apply = (manifests: readonly object[], ...options: string[]) =>
  kubectl(
    ['apply', '--server-side', ...options, '-f', '-'],
    Buffer.from(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests })),
  );

// biome-ignore lint/suspicious/noExplicitAny: whatever object is asked for
export const get = async (...args: readonly string[]): Promise<any> =>
  JSON.parse((await kubectl(['get', '-o', 'json', ...args])).toString());
// biome-ignore lint/suspicious/noExplicitAny: as above
export const list = async (...args: readonly string[]): Promise<any[]> => (await get(...args)).items;

/** Runs a command in a container of the studio. */
export const exec = (pod: string, container: string, ...command: readonly string[]): Promise<Buffer> =>
  kubectl(['-n', namespace, 'exec', pod, '-c', container, '--', ...command]);

/** Runs an orfeas command, which must succeed, and returns its document. */
// biome-ignore lint/suspicious/noExplicitAny: as above
export async function command(args: readonly string[], folder?: string): Promise<any> {
  const { code, stdout, stderr } = await orfeas([...args, '--env', 'local', '--json'], folder);
  if (code !== 0) throw new Error(`orfeas ${args.join(' ')}: ${stdout}${stderr}`);
  return JSON.parse(stdout.toString());
}

/** SHA-256 of each model, by its name. */
export const outputs = async (): Promise<string> =>
  (await exec('deploy/backend', 'api', 'sh', '-c', 'cd /app/outputs && sha256sum * | sort')).toString();

/** Where the node, which is this machine, keeps a claim. */
export async function folderOf(claim: string): Promise<string> {
  const { spec } = await get('-n', namespace, 'persistentvolumeclaim', claim);
  const volume = await get('persistentvolume', spec.volumeName);
  return (volume.spec.hostPath ?? volume.spec.local).path;
}

/** HOST:PORT of a pod behind a Service, by the port's name where there are several. */
export async function endpoint(where: string, service: string, portName?: string): Promise<string> {
  const [slice] = await list('-n', where, 'endpointslices', '-l', `kubernetes.io/service-name=${service}`);
  const { port } = slice.ports.find(({ name }: { name: string }) => portName === undefined || name === portName);
  return `${slice.endpoints[0].addresses[0]}:${port}`;
}

/** Removes a namespace. No pod comes instead of one that is deleted then, and none takes its time to end. */
export async function removeNamespace(name: string): Promise<void> {
  await kubectl(['delete', 'namespace', name, '--ignore-not-found', '--wait=false']);
  await kubectl(['-n', name, 'delete', 'pods', '--all', '--force', '--grace-period=0']);
  await kubectl(['-n', name, 'delete', 'persistentvolumeclaims', '--all', '--wait=false']);
  await kubectl(['wait', '--for=delete', `namespace/${name}`, '--timeout=300s']);
}

/** Where the Go module of a version lies. */
export function moduleFolder(module: string): string {
  const download = execFileSync('go', ['mod', 'download', '-json', module], { cwd: tmpdir() });
  return JSON.parse(download.toString()).Dir;
}

/** Waits until a condition gives something. What it throws counts as not yet, and is told in the end. */
export async function until<T>(what: string, seconds: number, condition: () => Promise<T | undefined | false>): Promise<T> {
  const end = Date.now() + seconds * 1000;
  let last: unknown = 'it never came';
  while (Date.now() < end) {
    try {
      const value = await condition();
      if (value !== undefined && value !== false) return value;
    } catch (error) {
      last = error;
    }
    await sleep(500);
  }
  throw new Error(`${what} did not come within ${seconds} s`, { cause: last });
}

export const rolledOut = (seconds = 300) =>
  kubectl([
    '-n',
    namespace,
    'rollout',
    'status',
    '--watch',
    `--timeout=${seconds}s`,
    'statefulset/redis',
    'deployment/backend',
    'deployment/web',
  ]);

/** Verifies the newest backup, as the schedule would. */
export async function verifyBackup(): Promise<void> {
  const job = `verify-${Date.now()}`;
  await kubectl(['-n', namespace, 'create', 'job', job, '--from=cronjob/backup-verify']);
  await kubectl(['-n', namespace, 'wait', '--for=condition=Complete', `job/${job}`, '--timeout=300s']);
}

/** A Python program in the container of the backend's API, which has Pillow and trimesh. */
export const python = (program: string, args: readonly string[] = [], input?: Buffer): Promise<Buffer> =>
  kubectl(
    ['-n', namespace, 'exec', ...(input ? ['-i'] : []), 'deploy/backend', '-c', 'api', '--', 'python', '-c', program, ...args],
    input,
  );

/** A picture of a disc on a transparent or white ground. */
export const picture = (format: 'PNG' | 'JPEG' | 'WEBP', side = 256): Promise<Buffer> =>
  python(
    `
import sys
from PIL import Image, ImageDraw
format, side = sys.argv[1], int(sys.argv[2])
image = Image.new("RGBA" if format != "JPEG" else "RGB", (side, side), (255, 255, 255, 0) if format != "JPEG" else (255, 255, 255))
ImageDraw.Draw(image).ellipse((side // 8, side // 8, side * 7 // 8, side * 7 // 8), fill=(200, 80, 40))
image.save(sys.stdout.buffer, format)`,
    [format, `${side}`],
  );

/** What trimesh says of a mesh. */
export async function trimesh(mesh: Buffer, format: string): Promise<{ watertight: boolean; volume: number; faces: number }> {
  const program = `
import io, json, sys, trimesh
mesh = trimesh.load(io.BytesIO(sys.stdin.buffer.read()), file_type=sys.argv[1], force="mesh")
print(json.dumps({"watertight": bool(mesh.is_watertight), "volume": float(mesh.volume), "faces": len(mesh.faces)}))`;
  return JSON.parse((await python(program, [format], mesh)).toString());
}

/** The certificate that the studio serves. */
export async function certificate(): Promise<string> {
  const secret = await get('-n', namespace, 'secret', 'orfeas-tls');
  return Buffer.from(secret.data['tls.crt'], 'base64').toString();
}

/** The processes of a container whose command line has `command` in it, as the node has them, which is this machine. */
export async function processes(pod: string, container: string, command: string, where = namespace): Promise<number[]> {
  const { status } = await get('-n', where, 'pod', pod);
  const statuses = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
  const id = statuses.find(found => found.name === container).containerID.split('//')[1];
  const read = (pid: string, file: string): string => {
    try {
      return readFileSync(`/proc/${pid}/${file}`, 'utf8');
    } catch {
      return '';
    }
  };
  const mine = readdirSync('/proc').filter(
    pid => /^\d+$/.test(pid) && read(pid, 'cgroup').includes(id) && read(pid, 'cmdline').includes(command),
  );
  if (mine.length === 0) throw new Error(`${pod} ${container} has no process ${command}`);
  return mine.map(Number);
}

/** Sends a signal to such processes from outside, as a node without memory would. */
export async function signal(pod: string, container: string, command: string, name: NodeJS.Signals): Promise<void> {
  for (const pid of await processes(pod, container, command)) process.kill(pid, name);
}

export interface Answer {
  readonly status: number;
  /** Names and values, as they came. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
}

const CLIENTS = 'orfeas-test-clients';

/** A host that the edge serves, and its certificate. */
export interface Site {
  readonly host: string;
  readonly trusted: string;
}

/** A client of the studio with an address of its own: a pod, since limits count addresses. */
export class Client {
  private constructor(
    private readonly name: string,
    private readonly edge: string,
    private readonly site: Site,
  ) {}

  static async create(name: string, site?: Site): Promise<Client> {
    const { images, edge } = settings;
    const services = (await Promise.all(edge.namespaces.map(edgeNamespace => list('-n', edgeNamespace, 'services')))).flat();
    const service = services.find(({ spec }) => spec.ports.some(({ port }: { port: number }) => port === 443));
    if (!service) throw new Error(`no Service with port 443 in the namespaces of the edge: ${edge.namespaces.join(', ')}`);
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: CLIENTS },
      spec: {
        terminationGracePeriodSeconds: 0,
        containers: [{ name: 'client', image: `${images.registry}/backend:${images.version}`, command: ['sleep', 'infinity'] }],
      },
    };
    const manifests = [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: CLIENTS } }, pod];
    // By the server, since several clients may find the namespace missing at the same time.
    await kubectl(['apply', '--server-side', '-f', '-'], Buffer.from(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests })));
    await kubectl(['-n', CLIENTS, 'wait', '--for=condition=Ready', `pod/${name}`, '--timeout=120s']);
    return new Client(name, service.spec.clusterIP, site ?? { host, trusted: await certificate() });
  }

  static async removeAll(): Promise<void> {
    await kubectl(['delete', 'namespace', CLIENTS, '--ignore-not-found']);
  }

  /** Sends a request `count` times at once; `{n}` in a header is the number of each. */
  async send(method: string, path: string, count = 1, body?: Buffer, headers: Readonly<Record<string, string>> = {}): Promise<Answer[]> {
    const program = readFileSync(join(__dirname, 'client.py'), 'utf8');
    const args = [this.edge, this.site.host, this.site.trusted, method, path, `${count}`, JSON.stringify(headers)];
    const exec = ['-n', CLIENTS, 'exec', ...(body ? ['-i'] : []), this.name, '--', 'python', '-c', program, ...args];
    return JSON.parse((await kubectl(exec, body)).toString());
  }

  /**
   * Asks for each path so many times a second, until it is stopped.
   *
   * @returns A function that stops it, and tells how it went.
   */
  ask(rates: Readonly<Record<string, number>>): () => Promise<Record<string, Asked>> {
    const program = readFileSync(join(__dirname, 'load.py'), 'utf8');
    const args = [this.edge, this.site.host, this.site.trusted, JSON.stringify(rates)];
    const child = spawn('kubectl', ['-n', CLIENTS, 'exec', '-i', this.name, '--', 'python', '-c', program, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const output = text(child.stdout);
    return async () => {
      child.stdin.end();
      return JSON.parse(await output);
    };
  }
}

/** How requests for a path went. */
export interface Asked {
  /** Number of answers by status; 0 where none came. */
  readonly statuses: Readonly<Record<string, number>>;
  /** The longest time without a good answer. */
  readonly awaySeconds: number;
}

/** The states of jobs, asked of the backend itself, each time for another client: a limit counts addresses. */
export async function jobStates(
  ids: readonly string[],
): Promise<{ status: string; outputs?: { url: string; bytes: number }[]; error?: unknown }[]> {
  const program = `
import json, random, sys, urllib.request
def state(id):
    client = f"198.18.{random.randrange(256)}.{random.randrange(256)}"
    request = urllib.request.Request(f"http://127.0.0.1:5000/api/job-status/{id}", headers={"X-Forwarded-For": client})
    return json.load(urllib.request.urlopen(request, timeout=10))
print(json.dumps([state(id) for id in sys.argv[1:]]))`;
  return JSON.parse((await python(program, ids)).toString());
}
