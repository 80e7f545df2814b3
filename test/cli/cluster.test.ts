import { KubeConfig } from '@kubernetes/client-node';
import { ApiError, Cluster } from '../../cli/cluster';
import { FakeCluster } from './fake-cluster';

const secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'orfeas-app', namespace: 'orfeas-local' } };

describe('a cluster', () => {
  let fake: FakeCluster;
  beforeEach(async () => {
    fake = await FakeCluster.start();
  });
  afterEach(() => fake.stop());

  test('that lacks an object says so without an error', async () => {
    expect(await fake.connect().get(secret)).toBeUndefined();
  });

  test('that knows no such kind is told apart from one that lacks the object', async () => {
    const certificate = { apiVersion: 'cert-manager.io/v1', kind: 'Certificate', metadata: { name: 'a', namespace: 'b' } };
    await expect(fake.connect().get(certificate)).rejects.toThrow('The cluster knows no Certificate of cert-manager.io/v1');
  });

  test('that refuses a user says what, and what to do', async () => {
    fake.intercept = (_, path) =>
      path.endsWith('/orfeas-app')
        ? { status: 403, body: { reason: 'Forbidden', message: 'secrets "orfeas-app" is forbidden' } }
        : undefined;
    const failure = await fake
      .connect()
      .get(secret)
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ApiError);
    expect(failure).toMatchObject({
      status: 403,
      message: 'secrets "orfeas-app" is forbidden',
      remedy: expect.stringContaining('permission'),
    });
  });

  test('whose namespace is on its way out does not blame the permissions', async () => {
    fake.intercept = (_, path) =>
      path.endsWith('/orfeas-app')
        ? { status: 403, body: { reason: 'Forbidden', message: 'the namespace is being terminated' } }
        : undefined;
    await expect(fake.connect().get(secret)).rejects.toMatchObject({ remedy: expect.stringContaining('wait until it is gone') });
  });

  test('that asks for patience is asked again, as often as kubectl would', async () => {
    let refusals = 0;
    fake.intercept = () => (++refusals > 3 ? undefined : { status: 429, body: { message: 'storage is (re)initializing' } });
    expect(await fake.connect().version()).toMatch(/^v1/);
    fake.intercept = () => ({ status: 429, body: { message: 'storage is (re)initializing' } });
    await expect(fake.connect().version()).rejects.toThrow('storage is (re)initializing');
  });

  test('that does not accept the credentials asks for a login', async () => {
    fake.intercept = () => ({ status: 401, body: {} });
    await expect(fake.connect().version()).rejects.toMatchObject({
      message: expect.stringContaining('credentials'),
      remedy: expect.stringContaining('log in'),
    });
  });

  test('behind a proxy that answers in HTML is still understood', async () => {
    fake.intercept = () => ({ status: 502, body: '<html>Bad Gateway</html>' });
    await expect(fake.connect().version()).rejects.toThrow('The cluster answers 502: <html>Bad Gateway</html>');
  });
});

test('a cluster that is not there is named with its address', async () => {
  const fake = await FakeCluster.start();
  const cluster = fake.connect();
  await fake.stop();
  await expect(cluster.version()).rejects.toMatchObject({
    message: expect.stringMatching(/^The cluster "fake" at http:\/\/127\.0\.0\.1:\d+ cannot be reached: .*ECONNREFUSED/),
    remedy: expect.stringContaining('--context'),
  });
});

describe('a kubeconfig', () => {
  const connect = (config: object, context?: string): Cluster => {
    const load = jest.spyOn(KubeConfig.prototype, 'loadFromDefault').mockImplementation(function (this: KubeConfig) {
      this.loadFromString(JSON.stringify(config));
    });
    try {
      return Cluster.connect(context);
    } finally {
      load.mockRestore();
    }
  };
  const config = {
    clusters: [{ name: 'one', cluster: { server: 'https://one.example' } }],
    users: [{ name: 'one', user: {} }],
    contexts: [{ name: 'one', context: { cluster: 'one', user: 'one' } }],
    'current-context': '',
  };

  test('without a current context asks for one by name', () => {
    expect(() => connect(config)).toThrow(expect.objectContaining({ remedy: 'choose one with --context: one' }));
  });

  test('that lacks the wanted context names those that it has', () => {
    expect(() => connect(config, 'two')).toThrow(
      expect.objectContaining({ message: 'The kubeconfig has no context "two"', remedy: 'use one of one' }),
    );
  });

  test('that is broken is named as that', () => {
    const load = jest.spyOn(KubeConfig.prototype, 'loadFromDefault').mockImplementation(function (this: KubeConfig) {
      this.loadFromString('{');
    });
    expect(() => Cluster.connect()).toThrow(/^The kubeconfig cannot be read: /);
    load.mockRestore();
  });
});
