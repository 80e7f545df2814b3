import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { load } from 'js-yaml';
import type { Pod, Secret } from '../../cli/objects';
import { rotateSecret } from '../../cli/rotation';
import { selfSigned } from '../../cli/self-signed';
import type { Settings } from '../../config';
import { type SecretReference, secrets } from '../../config/secrets';
import { settingsOf } from '../support';
import { FakeCluster } from './fake-cluster';
import { unseal } from './unseal';

let mockFolder: string;
jest.mock('../../config/secrets', () => ({ ...jest.requireActual('../../config/secrets'), sealedFolder: () => mockFolder }));

const settings = settingsOf('local');
const { namespace } = settings;
const NEW = 'New'.repeat(12);
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
  rotateSecret(fake.connect(), {
    settings,
    reference,
    patienceSeconds: 0,
    signal,
    onProgress: () => {},
    onInstruction: () => {
      throw new Error('nobody is asked for anything');
    },
  });

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
  ['before the change', { password: 'old', 'password.next': NEW }],
  ['after the change', { password: NEW, 'password.previous': 'old' }],
])('one that was interrupted %s goes on with the value that it made', async (_, values) => {
  putSecret('orfeas-redis', values);
  putPod('redis-0', 'redis', 'orfeas-redis');
  await rotate(secrets.redis);
  expect(valuesOf('orfeas-redis')).toEqual({ password: NEW });
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
    password = NEW;
    putSecret('orfeas-grafana', { 'admin-password': 'old', 'admin-password.next': NEW });
    await rotate(secrets.grafana);
    expect(valuesOf('orfeas-grafana')).toEqual({ 'admin-password': NEW });
  });
  test('is told it even where the Secret was changed too early', async () => {
    putSecret('orfeas-grafana', { 'admin-password': NEW, 'admin-password.previous': 'old' });
    await rotate(secrets.grafana);
    expect(password).toBe(NEW);
  });
});

describe('values that the command does not own', () => {
  let told: string[];
  beforeEach(() => {
    told = [];
    putSecret('orfeas-redis', { password: 'old' });
    putPod('redis-0', 'redis', 'orfeas-redis');
  });

  /** Rotates while somebody does what they are told. */
  const led = (changed: Settings, person: (text: string) => void, more: { certificate?: string; patienceSeconds?: number } = {}) =>
    rotateSecret(fake.connect(), {
      settings: changed,
      reference: secrets.redis,
      patienceSeconds: 60,
      signal: never,
      onProgress: () => {},
      onInstruction: text => {
        told.push(text);
        person(text);
      },
      ...more,
    });

  describe('but a store', () => {
    const stored = settingsOf('local', { secrets: { mode: 'external-secrets', store: { name: 'vault' } } });
    const putRequest = (status = {}) =>
      fake.put({
        apiVersion: 'external-secrets.io/v1',
        kind: 'ExternalSecret',
        metadata: { name: 'orfeas-redis', namespace },
        spec: { secretStoreRef: { kind: 'ClusterSecretStore', name: 'vault' }, dataFrom: [{ extract: { key: 'studio/redis' } }] },
        status,
      });
    beforeEach(() => putRequest());
    const entry = 'In ClusterSecretStore/vault, entry studio/redis: ';
    const first = `${entry}set password.next to 32 random letters and digits (openssl rand -hex 16 makes some)`;
    const second = `${entry}set password to what password.next has now, set password.previous to what password has now, remove password.next, all in one write`;
    const third = `${entry}remove password.previous`;
    const steps: Record<string, Record<string, string>> = {
      [first]: { password: 'old', 'password.next': NEW },
      [second]: { password: NEW, 'password.previous': 'old' },
      [third]: { password: NEW },
    };
    const follow = (text: string): void => {
      if (steps[text]) putSecret('orfeas-redis', steps[text]);
    };

    test('are changed there, each change once it is asked for, with the same states in between, and never shown', async () => {
      await led(stored, follow);
      expect(told).toEqual([first, second, third]);
      expect(told.join()).not.toContain(NEW);
      expect(states).toEqual(Object.values(steps));
    });
    test('are copied at once: the operator is asked to look, and nothing else is written but marks on pods', async () => {
      await led(stored, follow);
      expect(fake.find('ExternalSecret', 'orfeas-redis')?.metadata.annotations).toHaveProperty('force-sync');
      expect(fake.writes.filter(write => !/externalsecrets|pods/.test(write))).toEqual([]);
    });
    test('that are wrong are told of until they are right', async () => {
      const mistakes: [RegExp, Record<string, string>][] = [
        [/^In .*set password.next/, { password: 'old', 'password.next': 'short' }],
        [/password.next must have 32 or more letters, digits or signs/, { password: 'old', 'password.next': 'old' }],
        [/password.next is the same as password$/, { password: NEW, 'password.next': 'x'.repeat(32) }],
        [/password has changed, and must be what it was$/, { password: 'old', 'password.next': NEW }],
        [/^In .*set password to/, { password: NEW, 'password.next': NEW }],
        [/: password.next is still there, password.previous is not there yet$/, { password: NEW, 'password.previous': NEW }],
        [/: password.previous is not what password was$/, { password: NEW, 'password.previous': 'old' }],
        [/^In .*remove password.previous$/, { password: NEW }],
      ];
      await led(stored, text => {
        const [[expected, values]] = mistakes.splice(0, 1) as [[RegExp, Record<string, string>]];
        expect(text).toMatch(expected);
        putSecret('orfeas-redis', values);
      });
      expect(mistakes).toEqual([]);
    });
    test('that were changed before an interruption are not asked for again', async () => {
      putSecret('orfeas-redis', steps[first] as Record<string, string>);
      await led(stored, follow);
      expect(told).toEqual([second, third]);
    });
    test('are waited for no longer than is said, with what the operator says is wrong', async () => {
      putRequest({ conditions: [{ status: 'False', message: 'could not get secret data from provider' }] });
      await expect(led(stored, () => {}, { patienceSeconds: 0 })).rejects.toMatchObject({
        message: expect.stringMatching(
          /not come within 0 s\. Secret\/orfeas-redis: password.next is not there yet \(could not get secret data from provider\)$/,
        ),
        remedy: 'run the command again once it is made: it goes on from here',
      });
    });
    test('are not asked for where nothing would copy them', async () => {
      fake.objects.delete(`/apis/external-secrets.io/v1/namespaces/${namespace}/externalsecrets/orfeas-redis`);
      await expect(led(stored, follow)).rejects.toThrow(`There is no ExternalSecret/orfeas-redis in ${namespace}`);
      expect(told).toEqual([]);
    });
  });

  describe('but git, sealed,', () => {
    const sealed = settingsOf('local', { secrets: { mode: 'sealed-secrets' } });
    let pair: Awaited<ReturnType<typeof selfSigned>>;
    beforeAll(async () => {
      pair = await selfSigned(['sealed-secrets.example.org']);
    }, 60_000);
    beforeEach(() => {
      mockFolder = mkdtempSync(join(tmpdir(), 'sealed-'));
    });
    afterEach(() => rmSync(mockFolder, { recursive: true }));

    /** What the controller makes of the file. */
    const deploy = (): void => {
      const { spec } = load(readFileSync(join(mockFolder, 'orfeas-redis.yaml'), 'utf8')) as {
        spec: { encryptedData: Record<string, string> };
      };
      const label = `${namespace}/orfeas-redis`;
      const opened = Object.entries(spec.encryptedData).map(([key, value]) => [key, unseal(value, label, pair.key)]);
      putSecret('orfeas-redis', Object.fromEntries(opened));
    };

    test('are sealed for each change, which is left to commit and deploy', async () => {
      await led(sealed, deploy, { certificate: pair.certificate });
      const { password: made } = valuesOf('orfeas-redis');
      expect(made).toMatch(/^[A-Za-z0-9]{32}$/);
      expect(states).toEqual([
        { password: 'old', 'password.next': made },
        { password: made, 'password.previous': 'old' },
        { password: made },
      ]);
      expect(told.map(text => text.replace(/^.*\/sealed-[^/]+\//, ''))).toEqual([
        'orfeas-redis.yaml has password and password.next: npm run synth, commit it and dist, and deploy',
        'orfeas-redis.yaml has password and password.previous: npm run synth, commit it and dist, and deploy',
        'orfeas-redis.yaml has password: npm run synth, commit it and dist, and deploy',
      ]);
      expect(fake.writes.filter(write => !/pods/.test(write))).toEqual([]);
    });
  });
});
