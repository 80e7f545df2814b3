import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Pod, Secret } from '../../cli/objects';
import { rotateSecret } from '../../cli/rotation';
import { type SecretReference, secrets } from '../../config/secrets';
import { settingsOf } from '../support';
import { FakeCluster } from './fake-cluster';

const settings = settingsOf('local');
const { namespace } = settings;
const never = new AbortController().signal;

let fake: FakeCluster;
/** What the Secret had while pods were asked, each once. */
let states: Record<string, string>[];
/** Whether the kubelet has brought the present values to the pod. */
let brought: (pod: Pod) => boolean;

const valuesOf = (name: string): Record<string, string> =>
  Object.fromEntries(
    Object.entries(fake.find<Secret>('Secret', name)?.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]),
  );
const putSecret = (name: string, values: Record<string, string>) =>
  fake.put({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace },
    data: Object.fromEntries(Object.entries(values).map(([key, value]) => [key, Buffer.from(value).toString('base64')])),
  });
const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

/** A pod that mounts the Secret: all of it, or one key. */
const putPod = (name: string, container: string, secret: string, key?: string) =>
  fake.put({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels: { pod: name } },
    spec: {
      containers: [{ name: container, volumeMounts: [{ name: secret, mountPath: `/etc/${secret}` }], ports: [{ containerPort: 3000 }] }],
      volumes: [{ name: secret, secret: { secretName: secret, ...(key && { items: [{ key, path: key }] }) } }],
    },
    status: {
      phase: 'Running',
      conditions: [{ type: 'Ready', status: 'True' }],
      containerStatuses: [{ name: container, state: { running: {} } }],
    },
  });

beforeEach(async () => {
  fake = await FakeCluster.start();
  fake.put({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  states = [];
  brought = () => true;
  fake.exec = (name, command) => {
    const pod = fake.find<Pod>('Pod', name) as Pod;
    const [volume] = pod.spec?.volumes ?? [];
    const values = valuesOf(volume?.secret?.secretName as string);
    if (JSON.stringify(values) !== JSON.stringify(states.at(-1))) states.push(values);
    if (command[0] === 'cat') {
      const digests = ['password', 'password.next', 'password.previous'].flatMap(key => (values[key] ? [`#${digest(values[key])}`] : []));
      return `user default on ${digests.join(' ')} ~* &* +@all\n`;
    }
    if (!brought(pod)) return `${digest('something old')}  password\n`;
    const keys = volume?.secret?.items?.map(({ key }) => key) ?? Object.keys(values);
    return keys.map(key => `${digest(values[key] as string)}  ${key}\n`).join('');
  };
});
afterEach(() => fake.stop());

const rotate = (reference: SecretReference, signal = never) =>
  rotateSecret(fake.connect(), { settings, reference, signal, onProgress: () => {} });

test('both passwords are valid while the clients change, and only the new one in the end', async () => {
  putSecret('orfeas-redis', { password: 'old' });
  putPod('redis-0', 'redis', 'orfeas-redis');
  putPod('backend-1', 'api', 'orfeas-redis', 'password');
  await rotate(secrets.redis);
  const { password: made } = valuesOf('orfeas-redis');
  expect(made).toMatch(/^[A-Za-z0-9]{32}$/);
  expect(states).toEqual([{ password: 'old', 'password.next': made }, { password: made, 'password.previous': 'old' }, { password: made }]);
});

test('no pod is restarted: the kubelet is made to look by a mark on the pod', async () => {
  putSecret('orfeas-app', { SECRET_KEY: 'old' });
  putPod('backend-1', 'api', 'orfeas-app');
  brought = ({ metadata }) => metadata.annotations?.['orfeas.io/secrets-seen'] !== undefined;
  await rotate(secrets.app);
  expect(fake.writes.every(write => /\/(pods\/backend-1|secrets\/orfeas-app)\?fieldManager=orfeas-rotate$/.test(write))).toBe(true);
});

test('nothing goes on before every pod has seen what was changed', async () => {
  putSecret('orfeas-app', { SECRET_KEY: 'old' });
  putPod('backend-1', 'api', 'orfeas-app');
  putPod('backend-2', 'api', 'orfeas-app');
  const interrupt = new AbortController();
  brought = ({ metadata }) => {
    if (metadata.name === 'backend-2') interrupt.abort();
    return metadata.name === 'backend-1';
  };
  await expect(rotate(secrets.app, interrupt.signal)).rejects.toThrow();
  expect(Object.keys(valuesOf('orfeas-app'))).toEqual(['SECRET_KEY', 'SECRET_KEY.next']);
});

test.each([
  ['before the change', { password: 'old', 'password.next': 'new' }],
  ['after the change', { password: 'new', 'password.previous': 'old' }],
])('one that was interrupted %s goes on with the value that it made', async (_, values) => {
  putSecret('orfeas-redis', values);
  putPod('redis-0', 'redis', 'orfeas-redis');
  await rotate(secrets.redis);
  expect(valuesOf('orfeas-redis')).toEqual({ password: 'new' });
});

test('of a Secret that is not there yet points to making it', async () => {
  await expect(rotate(secrets.app)).rejects.toMatchObject({ remedy: 'make it: orfeas secrets' });
  expect(fake.writes).toEqual([]);
});

describe('Grafana', () => {
  let password: string;
  let server: Server;
  beforeEach(async () => {
    password = 'old';
    server = createServer(async (request, response) => {
      const [, given] = Buffer.from(request.headers.authorization?.split(' ')[1] ?? '', 'base64')
        .toString()
        .split(':');
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      if (given === password && request.method === 'PUT') password = JSON.parse(Buffer.concat(chunks).toString()).newPassword;
      response.writeHead(given === password || request.method === 'PUT' ? 200 : 401, { connection: 'close' }).end('{}');
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    fake.ports.set('grafana-1:3000', (server.address() as AddressInfo).port);
    putPod('grafana-1', 'grafana', 'orfeas-grafana', 'admin-password');
    fake.put({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'grafana', namespace },
      spec: { selector: { pod: 'grafana-1' }, ports: [{ port: 3000 }] },
    });
  });
  afterEach(() => server.close());

  test('is told the new password before its Secret has it alone', async () => {
    putSecret('orfeas-grafana', { 'admin-password': 'old' });
    await rotate(secrets.grafana);
    expect(password).toBe(valuesOf('orfeas-grafana')['admin-password']);
    expect(password).not.toBe('old');
  });
  test('that knows the new password already is asked for no change', async () => {
    password = 'new';
    putSecret('orfeas-grafana', { 'admin-password': 'old', 'admin-password.next': 'new' });
    await rotate(secrets.grafana);
    expect(valuesOf('orfeas-grafana')).toEqual({ 'admin-password': 'new' });
  });
});
