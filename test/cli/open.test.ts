import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type OpenOptions, open } from '../../cli/commands/open';
import { loadSettings, parseSettings, type SettingsInput } from '../../config';
import { local } from '../../config/local';
import { FakeCluster } from './fake-cluster';
import { FakePrometheus } from './fake-prometheus';

jest.mock('node:child_process', () => ({
  ...jest.requireActual('node:child_process'),
  spawn: jest.fn(() => ({ on: jest.fn().mockReturnThis(), unref: jest.fn() })),
}));
jest.mock('../../config', () => {
  const actual = jest.requireActual('../../config');
  return { ...actual, loadSettings: jest.fn(actual.loadSettings) };
});

/** Lets the command see the settings of local with another monitoring. */
const configure = (monitoring: SettingsInput['monitoring']): void => {
  jest.mocked(loadSettings).mockReturnValueOnce(parseSettings({ ...local, monitoring }));
};

let fake: FakeCluster;
let server: FakePrometheus;
let folder: string;
let interrupt: AbortController;
let notices: jest.SpyInstance;
beforeEach(async () => {
  fake = await FakeCluster.start();
  server = await FakePrometheus.start();
  interrupt = new AbortController();
  notices = jest.spyOn(console, 'error').mockImplementation();
  folder = mkdtempSync(join(tmpdir(), 'orfeas-'));
  process.env.KUBECONFIG = join(folder, 'kubeconfig');
  writeFileSync(process.env.KUBECONFIG, fake.kubeconfig);
});
afterEach(async () => {
  interrupt.abort();
  delete process.env.KUBECONFIG;
  rmSync(folder, { recursive: true });
  notices.mockRestore();
  await server.stop();
  await fake.stop();
});

/** Opens it and keeps it open until the test is over. */
async function run(options: Partial<OpenOptions> = {}) {
  const outcome = await open({ env: 'local', what: 'prometheus', browser: false, ...options }, interrupt.signal);
  return { ...outcome, end: outcome.stay?.() };
}

/** Asks over a connection of its own, and returns the status. */
async function ask(url: string): Promise<number | undefined> {
  const [response] = (await once(get(url, { agent: false }), 'response')) as [IncomingMessage];
  response.resume();
  return response.statusCode;
}

const failure = (options: Partial<OpenOptions> = {}): Promise<Error & { remedy?: string }> =>
  run(options).then(
    () => {
      throw new Error('it opened');
    },
    error => error,
  );

test('a port of this machine leads to Prometheus until the command is interrupted', async () => {
  server.deploy(fake);
  const { result, text, end } = await run();
  expect(result.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
  expect(text).toBe(`Prometheus of local: ${result.url}\nCtrl-C ends it.`);
  expect(await ask(`${result.url}api/v1/query?query=up`)).toBe(200);
  expect(server.expressions).toContain('up');
  interrupt.abort();
  await end;
  await expect(ask(result.url)).rejects.toThrow('ECONNREFUSED');
});

test('a Service may name the port of its container by number', async () => {
  server.deploy(fake, { targetPort: 9090 });
  expect((await run()).ok).toBe(true);
});

test('Grafana comes with its user and a command for the password, and without the password', async () => {
  server.deploy(fake, { name: 'grafana' });
  fake.put({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'orfeas-grafana', namespace: 'orfeas-local' },
    data: { 'admin-password': 'aHVudGVyMg==' },
  });
  const { result, text } = await run({ what: 'grafana' });
  const passwordCommand =
    "kubectl --context fake --namespace orfeas-local get secret orfeas-grafana --output jsonpath='{.data.admin-password}' | base64 --decode";
  expect(result.login).toEqual({ user: 'admin', passwordCommand });
  expect(text).toContain(`  user      admin\n  password  ${passwordCommand}\n`);
  expect(text + JSON.stringify(result)).not.toMatch(/hunter2|aHVudGVyMg/);
});

test.each([
  [{ by: 'path' }, 'https://studio.localhost/grafana'],
  [{ by: 'host', host: 'grafana.localhost' }, 'https://grafana.localhost/'],
] as const)('a Grafana that the Ingress leads to by %j is opened there', async (access, url) => {
  configure({ stack: { mode: 'bundled', grafana: { access } } });
  const { result, end } = await run({ what: 'grafana' });
  expect(result.url).toBe(url);
  expect(end).toBeUndefined();
});

test("the cluster's own Grafana is found in its namespace, with a login that is none of ours", async () => {
  server.deploy(fake, { name: 'kube-prometheus-stack-grafana', namespace: 'monitoring' });
  configure({ stack: { mode: 'operator' } });
  const { ok, result } = await run({ what: 'grafana' });
  expect(ok).toBe(true);
  expect(result.login).toBeUndefined();
});

test('connections go to the next pod when one goes away, which is told', async () => {
  server.deploy(fake, { pod: 'prometheus-a' });
  const { result } = await run();
  fake.objects.delete('/api/v1/namespaces/orfeas-local/pods/prometheus-a');
  await expect(ask(result.url)).rejects.toThrow('socket hang up');
  await expect(ask(result.url)).rejects.toThrow('socket hang up');
  server.deploy(fake, { pod: 'prometheus-b' });
  expect(await ask(result.url)).toBe(200);
  expect(notices.mock.calls.flat()).toEqual([
    'Service/prometheus has no ready pod in orfeas-local\n  → see why: kubectl --context fake --namespace orfeas-local get pods --selector app=prometheus',
    'Connections go to Pod/prometheus-b now',
  ]);
});

describe('it ends with a remedy', () => {
  test('when nothing watches the studio', async () => {
    configure({ metrics: false });
    expect(await failure()).toMatchObject({
      message: 'Nothing watches the studio of local: monitoring.metrics is false',
      remedy: 'set it to true in config/local.ts, and run orfeas deploy --env local',
    });
  });

  test('when nothing is deployed', async () => {
    expect(await failure()).toMatchObject({
      message: 'There is no Service/prometheus in orfeas-local',
      remedy: 'orfeas deploy --env local',
    });
  });

  test("when the cluster's own Prometheus has another name", async () => {
    configure({ stack: { mode: 'operator' } });
    expect(await failure()).toMatchObject({
      message: 'There is no Service/kube-prometheus-stack-prometheus in monitoring',
      remedy: expect.stringContaining('monitoring.stack.prometheusService'),
    });
  });

  test('when no pod is ready', async () => {
    server.deploy(fake);
    fake.put({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'prometheus-0', namespace: 'orfeas-local', labels: { app: 'prometheus' } },
    });
    expect(await failure()).toMatchObject({
      message: 'Service/prometheus has no ready pod in orfeas-local',
      remedy: expect.stringContaining('get pods --selector app=prometheus'),
    });
  });

  test('when the Service leads out of the cluster', async () => {
    server.deploy(fake);
    fake.put({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'prometheus', namespace: 'orfeas-local' }, spec: {} });
    expect((await failure()).message).toBe('Service/prometheus has no ready pod in orfeas-local');
  });

  test('when the user may not forward ports', async () => {
    server.deploy(fake);
    fake.intercept = (_, path) => (path.endsWith('/portforward') ? { status: 403, body: {} } : undefined);
    expect(await failure()).toMatchObject({
      message: 'You may not forward ports to pods of orfeas-local (get and create pods/portforward)',
      remedy: expect.stringContaining('ask for this permission'),
    });
    expect(notices).not.toHaveBeenCalled();
  });

  test('when the node of the pod does not answer', async () => {
    server.deploy(fake);
    fake.intercept = (_, path) => (path.endsWith('/portforward') ? { status: 502, body: {} } : undefined);
    expect(await failure()).toMatchObject({
      message: expect.stringMatching(/^Port 9090 of Pod\/prometheus-0 cannot be forwarded: .*502/),
      remedy: expect.stringContaining('kubectl get nodes'),
    });
  });

  test('when nothing listens in the pod', async () => {
    server.deploy(fake);
    fake.ports.clear();
    expect((await failure()).message).toBe('Port 9090 of Pod/prometheus-0 takes no connection: connection refused');
  });

  test('when the port that was asked for is in use', async () => {
    server.deploy(fake);
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    expect(await failure({ port })).toMatchObject({
      message: `Port ${port} of this machine is in use`,
      remedy: 'give another --port, or none to have a free one found',
    });
    other.close();
  });
});

test('the usual port that is in use is replaced by a free one', async () => {
  server.deploy(fake);
  const first = await run();
  const second = await run();
  expect(second.result.url).not.toBe(first.result.url);
  expect(await ask(second.result.url)).toBe(200);
});

describe('a browser', () => {
  const isTTY = process.stdout.isTTY;
  beforeEach(() => {
    jest.mocked(spawn).mockClear();
    server.deploy(fake);
  });
  afterEach(() => {
    process.stdout.isTTY = isTTY;
  });

  test('is opened on a terminal', async () => {
    process.stdout.isTTY = true;
    const { result } = await run({ browser: true });
    expect(spawn).toHaveBeenCalledWith(expect.stringMatching(/^(open|explorer|xdg-open)$/), [result.url], expect.anything());
  });

  test.each<[string, boolean, Partial<OpenOptions>]>([
    ['away from a terminal', false, {}],
    ['with --no-browser', true, { browser: false }],
    ['with --json', true, { json: true }],
  ])('is left alone %s', async (_, terminal, options) => {
    process.stdout.isTTY = terminal;
    await run({ browser: true, ...options });
    expect(spawn).not.toHaveBeenCalled();
  });
});

test('as a command it prints one document, stays, and ends well with Ctrl-C', async () => {
  server.deploy(fake);
  const { spawn: realSpawn } = jest.requireActual<typeof import('node:child_process')>('node:child_process');
  const child = realSpawn(process.execPath, [join(__dirname, '../../cli/bin.js'), 'open', 'prometheus', '--json'], { env: process.env });
  let [output, errors] = ['', ''];
  child.stdout.on('data', bytes => {
    output += bytes;
  });
  child.stderr.on('data', bytes => {
    errors += bytes;
  });
  await once(child.stdout, 'data');
  const { ok, url } = JSON.parse(output);
  expect(ok).toBe(true);
  expect(await ask(url)).toBe(200);
  child.kill('SIGINT');
  expect(await once(child, 'close')).toEqual([0, null]);
  expect(() => JSON.parse(output)).not.toThrow();
  expect(errors).toBe('');
}, 60_000);
