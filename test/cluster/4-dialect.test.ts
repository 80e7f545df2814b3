import { readdirSync, readFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { loadAll } from 'js-yaml';
import { io, type Socket } from 'socket.io-client';
import { buildApp } from '../../app';
import { Studio } from '../../cli/http';
import { selfSigned } from '../../cli/self-signed';
import { parseSettings, type SettingsInput } from '../../config';
import { local } from '../../config/local';
import { TLS_SECRET } from '../../config/secrets';
import type { Manifest } from '../../policy/rules';
import {
  apply,
  Client,
  certificate,
  checkoutWith,
  host,
  kubectl,
  list,
  moduleFolder,
  namespace,
  orfeas,
  ROOT,
  type Site,
  until,
} from './support';

type EdgeInput = NonNullable<SettingsInput['edge']>;

const MEBIBYTE = 2 ** 20;
/** What many a proxy allows a silent connection. */
const USUAL_TIMEOUT_SECONDS = 60;
const JOB = `/api/job-status/${'0'.repeat(32)}`;
/** Traefik's entry points on the test bed. */
const ports = { http: 80, https: 443 };

/** The edge's objects of a studio with these settings, in the namespace of the one that runs. */
function edgeOf(edge: EdgeInput, changes: Partial<SettingsInput> = {}): Manifest[] {
  const settings = parseSettings({ ...local, ...changes, edge: { namespaces: local.edge?.namespaces ?? [], ...edge } });
  return (
    buildApp(settings)
      .charts.find(chart => chart.node.id === '60-edge')
      ?.toJson() ?? []
  );
}

/** Traefik serves no Gateway until the cluster knows this kind, which older releases of Gateway API lack. */
const tlsRoutes = 'tlsroutes.gateway.networking.k8s.io';
let madeTlsRoutes = false;
beforeAll(async () => {
  const known = (await list('customresourcedefinitions')).some(({ metadata }) => metadata.name === tlsRoutes);
  if (known) return;
  const folder = join(moduleFolder('sigs.k8s.io/gateway-api@v1.6.1'), 'config/crd/standard');
  await apply([loadAll(readFileSync(join(folder, 'gateway.networking.k8s.io_tlsroutes.yaml'), 'utf8'))[0] as Manifest]);
  madeTlsRoutes = true;
});
afterAll(async () => {
  if (madeTlsRoutes) await kubectl(['delete', `crd/${tlsRoutes}`]);
});

/** The status of a request without TLS, and where it leads. */
const plain = (name: string, path = '/') =>
  new Promise<{ status: number | undefined; location: string | undefined }>((resolve, reject) =>
    http
      .get({ host: '127.0.0.1', path, headers: { host: name } }, answer => {
        answer.resume();
        resolve({ status: answer.statusCode, location: answer.headers.location });
      })
      .on('error', reject),
  );

/** Paths that a pod of web was asked for. */
async function askedOf(pod: string): Promise<string[]> {
  const lines = (await kubectl(['-n', namespace, 'logs', pod, '-c', 'nginx', '--since=5m'])).toString().split('\n');
  return lines.flatMap(line => (line.startsWith('{') ? [String(JSON.parse(line).path)] : []));
}

describe('three dialects beside each other, each on a host of its own', () => {
  const others = { 'ingress-nginx': 'nginx.localhost', 'gateway-api': 'gateway.localhost' };
  const hosts = { traefik: host, ...others };
  const secret = 'dialects-tls';
  const sites = {} as Record<keyof typeof hosts, Site>;
  const sockets: Partial<Record<keyof typeof hosts, Socket>> = {};
  const opened: Partial<Record<keyof typeof hosts, number>> = {};
  const studios = {} as Record<keyof typeof hosts, Studio>;
  let objects: object[] = [];

  beforeAll(async () => {
    const pair = await selfSigned(Object.values(others));
    const own = [
      ...edgeOf({ dialect: 'ingress-nginx' }, { host: others['ingress-nginx'] }).map(manifest => ({
        ...manifest,
        metadata: { ...manifest.metadata, name: `nginx-${manifest.metadata.name}` },
      })),
      ...edgeOf({ dialect: 'gateway-api', implementation: 'traefik', ports }, { host: others['gateway-api'] }).filter(
        // The deployed studio has these already.
        ({ kind }) => kind !== 'Middleware',
      ),
    ];
    const tls = { apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/tls', metadata: { name: secret, namespace } };
    objects = [
      { ...tls, stringData: { 'tls.crt': pair.certificate, 'tls.key': pair.key } },
      ...(JSON.parse(JSON.stringify(own).replaceAll(TLS_SECRET, secret)) as object[]),
    ];
    await apply(objects);
    await kubectl(['-n', namespace, 'scale', 'deployment/web', '--replicas=2']);
    await kubectl(['-n', namespace, 'rollout', 'status', 'deployment/web', '--timeout=120s']);
    for (const [dialect, name] of Object.entries(hosts) as [keyof typeof hosts, string][]) {
      sites[dialect] = { host: name, trusted: name === host ? await certificate() : pair.certificate };
      const studio = new Studio(sites[dialect]);
      studios[dialect] = studio;
      // Traefik looks again for a kind that was missing after a minute at most.
      await until(`the page of ${name}`, 90, async () => (await studio.request('GET', '/')).status === 200);
      const socket = io(studio.url, { agent: studio.agent as unknown as string, reconnection: false, transports: ['websocket'] });
      await until(`a WebSocket to ${name}`, 20, async () => socket.connected);
      sockets[dialect] = socket;
      opened[dialect] = Date.now();
    }
  });

  afterAll(async () => {
    for (const socket of Object.values(sockets)) socket.close();
    for (const studio of Object.values(studios)) studio.close();
    const items = Buffer.from(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
    await kubectl(['delete', '--ignore-not-found', '-f', '-'], items);
    await kubectl(['-n', namespace, 'scale', 'deployment/web', '--replicas=1']);
    await Client.removeAll();
  });

  describe.each(Object.keys(hosts) as (keyof typeof hosts)[])('%s', dialect => {
    test('HTTP is redirected to HTTPS', async () => {
      const { status, location } = await plain(hosts[dialect], '/x?y=z');
      expect([301, 308]).toContain(status);
      expect(location).toBe(`https://${hosts[dialect]}/x?y=z`);
    });

    test("the page has web's security headers, and metrics are refused", async () => {
      const { headers } = await studios[dialect].request('GET', '/');
      expect(headers['strict-transport-security']).toContain('max-age=31536000');
      expect(headers['content-security-policy']).toContain("default-src 'self'");
      expect((await studios[dialect].request('GET', '/metrics')).status).toBe(403);
    });

    test('a body of 49 MB reaches the backend, and one of 51 MB is refused', async () => {
      const client = await Client.create(`upload-${dialect}`, sites[dialect]);
      const upload = async (mebibytes: number) =>
        (await client.send('POST', '/api/generate-3d', 1, Buffer.alloc(mebibytes * MEBIBYTE, 1)))[0] as { status: number; body: string };
      const passed = await upload(49);
      expect({ passed: passed.status >= 400 && passed.status < 500 && passed.status !== 413, ...passed }).toMatchObject({ passed: true });
      expect(JSON.parse(passed.body).error.code).not.toBe('file_too_large');
      expect((await upload(51)).status).toBe(413);
    });

    test('ten API calls of one client are served at once, and the eleventh to thirtieth are answered 429', async () => {
      const client = await Client.create(`limit-${dialect}`, sites[dialect]);
      const answers = await client.send('GET', JOB, 30);
      const of = (status: number) => answers.filter(answer => answer.status === status).length;
      expect({ served: of(404), refused: of(429) }).toEqual({ served: 10, refused: 20 });
    });

    test('a client stays with one pod of web, as its cookie says', async () => {
      const first = await studios[dialect].request('GET', '/');
      const cookie = [first.headers['set-cookie'] ?? []].flat().find(text => text.startsWith('orfeas_web=')) ?? '';
      expect(cookie).toMatch(/secure/i);
      const prefix = `/affinity-${dialect}-${Date.now()}-`;
      for (let index = 0; index < 12; index++)
        await studios[dialect].request('GET', `${prefix}${index}`, { headers: { cookie: cookie.split(';')[0] as string } });
      const pods = (await list('-n', namespace, 'pods', '-l', 'app.kubernetes.io/name=web')).map(({ metadata }) => metadata.name);
      const counts = await until('all requests in the logs', 10, async () => {
        const asked = await Promise.all(pods.map(async pod => (await askedOf(pod)).filter(path => path.startsWith(prefix)).length));
        return asked.reduce((total, count) => total + count, 0) === 12 ? asked : undefined;
      });
      expect(counts.filter(count => count > 0)).toEqual([12]);
    });
  });

  test.each(Object.keys(hosts) as (keyof typeof hosts)[])('%s: a WebSocket outlives the usual timeout', async dialect => {
    const seconds = USUAL_TIMEOUT_SECONDS + 5;
    await until('that time', seconds + 5, async () => Date.now() - (opened[dialect] ?? 0) > seconds * 1000);
    expect(sockets[dialect]?.connected).toBe(true);
  });
});

describe('deployed in the dialect of Gateway API', () => {
  const changed = checkoutWith('config/local.ts', {
    "edge: { dialect: 'traefik',": "edge: { dialect: 'gateway-api', implementation: 'traefik', ports: { http: 80, https: 443 },",
  });
  const deploy = ['deploy', '--env', 'local', '--skip-build'];
  beforeAll(async () => {
    const { code, stderr } = await orfeas(deploy, changed.folder);
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
  });
  afterAll(async () => {
    changed.remove();
    await orfeas(deploy);
  });

  test("the other dialect's objects are gone, and the Gateway accepts its own", async () => {
    expect(await list('-n', namespace, 'ingresses')).toEqual([]);
    expect(await list('-n', namespace, 'tlsoptions.traefik.io')).toEqual([]);
    for (const { metadata, status } of await list('-n', namespace, 'httproutes')) {
      const conditions = status.parents[0].conditions.map(({ type, status }: Record<string, string>) => `${type} ${status}`);
      expect({ name: metadata.name, conditions }).toEqual({
        name: metadata.name,
        conditions: expect.arrayContaining(['Accepted True', 'ResolvedRefs True']),
      });
    }
  });

  test('HTTP is redirected, and a picture becomes a mesh', async () => {
    await until('the redirect', 30, async () => (await plain(host)).status === 301);
    const { code, stderr } = await orfeas(['smoke', '--env', 'local']);
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
  });
});

describe('dialects that nothing on the test bed serves', () => {
  const script = readFileSync(join(ROOT, 'scripts/import'), 'utf8');
  const version = /github\.com\/envoyproxy\/gateway@(v[\d.]+)/.exec(script)?.[1];
  let definitions: Manifest[] = [];
  beforeAll(async () => {
    const folder = join(moduleFolder(`github.com/envoyproxy/gateway@${version}`), 'charts/gateway-helm/charts/crds/crds/generated');
    const files = readdirSync(folder).filter(name => /_(client|backend)trafficpolicies\.yaml$/.test(name));
    definitions = files.flatMap(name => loadAll(readFileSync(join(folder, name), 'utf8')) as Manifest[]).filter(Boolean);
    await apply(definitions);
    await kubectl(['wait', '--for=condition=Established', '--timeout=60s', ...definitions.map(({ metadata }) => `crd/${metadata.name}`)]);
  });
  afterAll(async () => {
    if (definitions.length > 0) await kubectl(['delete', ...definitions.map(({ metadata }) => `crd/${metadata.name}`)]);
  });

  const grafana: Partial<SettingsInput> = {
    monitoring: { stack: { mode: 'bundled', grafana: { access: { by: 'host', host: 'grafana.localhost' } } } },
  };
  const letsEncrypt = { source: 'lets-encrypt', email: 'operator@example.org' } as const;
  test.each<EdgeInput>([
    { dialect: 'nginx', certificate: letsEncrypt },
    { dialect: 'haproxy', certificate: { source: 'private-ca', caSecret: 'authority' } },
    { dialect: 'traefik', certificate: { source: 'self-signed' } },
    {
      dialect: 'gateway-api',
      implementation: 'envoy-gateway',
      certificate: { ...letsEncrypt, challenge: { by: 'dns-01', provider: { name: 'cloudflare', tokenSecret: 'dns' } } },
    },
    {
      dialect: 'gateway-api',
      implementation: 'traefik',
      certificate: { ...letsEncrypt, challenge: { by: 'dns-01', provider: { name: 'route53', region: 'eu-central-1' } } },
    },
    { dialect: 'gateway-api', implementation: 'envoy-gateway', certificate: letsEncrypt },
  ])('%j: the API server takes every object', async edge => {
    const manifests = edgeOf(edge, { ...grafana, host: 'studio.example.org' });
    const accepted = (await apply(manifests, '--dry-run=server', '--force-conflicts', '-o', 'name')).toString().trim().split('\n');
    expect(accepted.length).toBe(manifests.length);
  });
});
