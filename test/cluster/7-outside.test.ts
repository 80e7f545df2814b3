import { Studio } from '../../cli/http';
import { upstreamImage } from '../../config/images';
import { certificate, checkoutWith, get, host, kubectl, namespace, orfeas, settings, until } from './support';

const store = 'orfeas-store';
const credentials = { username: 'orfeas', password: 'write-only' };
const changed = checkoutWith('config/local.ts', {
  'prometheus: { resources': `prometheus: {
        remoteWrite: [{ url: 'http://prometheus.${store}.svc:9090/api/v1/write', basicAuthSecret: 'store' }],
        resources`,
  'grafana: { resources': "grafana: { access: { by: 'path' }, resources",
});
const deploy = ['deploy', '--env', 'local', '--skip-build'];

/** Another Prometheus, which takes samples of those that have its password. */
async function startStore(): Promise<void> {
  const labels = { app: 'prometheus' };
  const bcrypt = '$2b$04$PKBITifAHcvmZ9oKxOKZ6OvWAnA11Cp3UOSsWt4EYUCpa.4X./1/2';
  const files = {
    'prometheus.yaml': '',
    'server.yaml': JSON.stringify({ basic_auth_users: { [credentials.username]: bcrypt } }),
    'client.yaml': JSON.stringify({ basic_auth: credentials }),
  };
  const items = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: store } },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'prometheus', namespace: store }, data: files },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'prometheus', namespace: store, labels },
      spec: {
        containers: [
          {
            name: 'prometheus',
            image: upstreamImage(settings.images, 'prometheus'),
            args: ['--config.file=/config/prometheus.yaml', '--web.config.file=/config/server.yaml', '--web.enable-remote-write-receiver'],
            readinessProbe: { tcpSocket: { port: 9090 } },
            volumeMounts: [{ name: 'config', mountPath: '/config' }],
          },
        ],
        volumes: [{ name: 'config', configMap: { name: 'prometheus' } }],
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'prometheus', namespace: store },
      spec: { selector: labels, ports: [{ port: 9090 }] },
    },
  ];
  await kubectl(['apply', '-f', '-'], Buffer.from(JSON.stringify({ apiVersion: 'v1', kind: 'List', items })));
  await kubectl(['-n', store, 'wait', '--for=condition=Ready', 'pod/prometheus', '--timeout=120s']);
}

let studio: Studio;
beforeAll(async () => {
  await startStore();
  const literals = Object.entries(credentials).map(([key, value]) => `--from-literal=${key}=${value}`);
  await kubectl(['-n', namespace, 'create', 'secret', 'generic', 'store', '--type=kubernetes.io/basic-auth', ...literals]);
  const { code, stderr } = await orfeas(deploy, changed.folder);
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
  studio = new Studio({ host, trusted: await certificate() });
});
afterAll(async () => {
  studio.close();
  changed.remove();
  await orfeas(deploy);
  await kubectl(['-n', namespace, 'delete', 'secret', 'store', '--ignore-not-found']);
  await kubectl(['delete', 'namespace', store, '--ignore-not-found']);
});

test('samples reach a store in another namespace, with its password', async () => {
  const promtool = ['promtool', 'query', 'instant', '--format=json', '--http.config.file=/config/client.yaml', 'http://127.0.0.1:9090'];
  const samples = await until('samples in the store', 120, async () => {
    const output = await kubectl(['-n', store, 'exec', 'prometheus', '--', ...promtool, `up{namespace="${namespace}"}`]);
    const found = JSON.parse(output.toString());
    return found.length > 0 && found;
  });
  expect(samples[0].metric).toMatchObject({ namespace, environment: 'local' });
});

test("Grafana answers below its path of the studio's host, to those with the password alone", async () => {
  const health = await until('Grafana behind the Ingress', 60, async () => {
    const answer = await studio.request('GET', '/grafana/api/health');
    return answer.status === 200 && answer;
  });
  expect(JSON.parse(health.body.toString())).toMatchObject({ database: 'ok' });
  const { data } = await get('-n', namespace, 'secret', 'orfeas-grafana');
  const login = (password: string) => {
    const authorization = `Basic ${Buffer.from(`admin:${password}`).toString('base64')}`;
    return studio.request('GET', '/grafana/api/search', { headers: { authorization } });
  };
  expect((await login('admin')).status).toBe(401);
  expect((await login(Buffer.from(data['admin-password'], 'base64').toString())).status).toBe(200);
});

test('neither its metrics nor what the studio answers itself is at that path', async () => {
  expect((await studio.request('GET', '/grafana/metrics')).body.toString()).not.toContain('# HELP');
  expect((await studio.request('GET', '/health')).status).toBe(200);
});
