import type { SettingsInput } from '../../config';
import { type Aspect, aspects, type Dialect, dialects, edgeRemarks, unsaid } from '../../config/edge';
import type { Manifest } from '../../policy/rules';
import { find, manifestsOf, settingsOf } from '../support';

type EdgeInput = NonNullable<SettingsInput['edge']>;

const inputs: Readonly<Record<Dialect, EdgeInput>> = {
  traefik: { dialect: 'traefik' },
  'ingress-nginx': { dialect: 'ingress-nginx' },
  nginx: { dialect: 'nginx' },
  haproxy: { dialect: 'haproxy' },
  'gateway-api: traefik': { dialect: 'gateway-api', implementation: 'traefik' },
  'gateway-api: envoy-gateway': { dialect: 'gateway-api', implementation: 'envoy-gateway' },
  'gateway-api: nginx-gateway-fabric': { dialect: 'gateway-api', implementation: 'nginx-gateway-fabric' },
};

const made = new Map<string, Manifest[]>();
function everything(dialect: Dialect, changes: Partial<SettingsInput> = {}): Manifest[] {
  const key = JSON.stringify([dialect, changes]);
  const manifests = made.get(key) ?? manifestsOf(settingsOf('local', { edge: inputs[dialect], ...changes }));
  made.set(key, manifests);
  return manifests;
}

/** Those of the edge's dialect. */
function annotationsOf({ metadata }: Manifest): Record<string, string> | undefined {
  const { 'argocd.argoproj.io/sync-wave': _, ...annotations } = metadata.annotations ?? {};
  return Object.keys(annotations).length > 0 ? annotations : undefined;
}

/** What matters of the edge's objects, without their labels. */
const essence = (dialect: Dialect, changes: Partial<SettingsInput> = {}) =>
  everything(dialect, changes)
    .filter(({ metadata }) => metadata.labels?.['app.kubernetes.io/component'] === 'edge')
    .map(manifest => ({
      kind: manifest.kind,
      name: manifest.metadata.name,
      annotations: annotationsOf(manifest),
      spec: manifest.spec,
    }));

/** What a dialect says, the annotations of Services that it reads included. */
const said = (dialect: Dialect, changes: Partial<SettingsInput> = {}): string => {
  const web = annotationsOf(find(everything(dialect, changes), 'Service', 'web'));
  return JSON.stringify([essence(dialect, changes), web]);
};

const grafana: Partial<SettingsInput> = {
  monitoring: { stack: { mode: 'bundled', grafana: { access: { by: 'host', host: 'grafana.localhost' } } } },
};

describe.each(dialects)('%s', dialect => {
  test('writes these objects', () => {
    expect(essence(dialect)).toMatchSnapshot();
  });

  /** An aspect is said where another setting makes other objects, or where there is but one way to say it, where it is found. */
  const says: Readonly<Record<Aspect, () => boolean>> = {
    redirect: () => /redirectScheme|ssl-redirect|RequestRedirect/.test(said(dialect)),
    limits: () =>
      said(dialect, { rateLimiting: { apiPerMinute: 7, jobsPerHour: 100 } }) !== said(dialect) &&
      said(dialect, { rateLimiting: { generalPerSecond: 77 } }) !== said(dialect),
    body: () => said(dialect, { uploads: { maxMebibytes: 20 } }) !== said(dialect),
    timeout: () => said(dialect, { performance: { gunicorn: { timeoutSeconds: 200 } } }) !== said(dialect),
    idle: () => said(dialect, { websocket: { idleDays: 2 } }) !== said(dialect),
    tls: () => /VersionTLS12|"minVersion":"1.2"|ssl-protocols/.test(said(dialect)),
    affinity: () => /orfeas_web|ip_hash/.test(said(dialect)),
  };
  test.each(Object.entries(says) as [Aspect, () => boolean][])('says "%s" itself, or what stands in for it is known', (aspect, check) => {
    expect(check()).toBe(unsaid[dialect][aspect] === undefined);
  });

  test('what it cannot say is told at synth', () => {
    const said = edgeRemarks(settingsOf('local', { edge: inputs[dialect] })).map(({ message }) => message);
    const unsaidHere = Object.keys(unsaid[dialect]).map(aspect => aspects[aspect as Aspect]);
    expect(said).toEqual(unsaidHere.length > 0 ? [expect.stringContaining(`${dialect} cannot say ${unsaidHere.join(', ')}`)] : []);
  });

  test('without rate limits nothing is limited', () => {
    expect(said(dialect, { rateLimiting: { enabled: false } })).not.toMatch(/-limit|limit-r|rateLimit|rate-limit/);
  });

  test("leads to Grafana on a host of its own, but to web where Grafana's metrics would be", () => {
    const objects = essence(dialect, grafana);
    const leadsTo = (name: string) => JSON.stringify(objects.find(object => object.name === name && /Ingress|HTTPRoute/.test(object.kind)));
    expect(leadsTo('grafana')).toMatch(/grafana\.localhost.*"name":"grafana"|"name":"grafana".*grafana\.localhost/);
    expect(leadsTo('grafana-metrics')).toMatch(/"\/metrics"/);
    expect(leadsTo('grafana-metrics')).toMatch(/"name":"web"/);
  });
});

/** Annotations that the vendors document, of which ours are some. */
const documented: Readonly<Record<'nginx' | 'haproxy', readonly string[]>> = {
  // github.com/nginx/kubernetes-ingress at 0eb3072, internal/configs/annotations.go and examples/ingress-resources
  nginx: [
    'mergeable-ingress-type',
    'ssl-redirect',
    'client-max-body-size',
    'proxy-connect-timeout',
    'proxy-read-timeout',
    'proxy-send-timeout',
    'lb-method',
    'websocket-services',
    'limit-req-rate',
    'limit-req-key',
    'limit-req-zone-size',
    'limit-req-burst',
    'limit-req-delay',
    'limit-req-no-delay',
    'limit-req-reject-code',
  ].map(name => `nginx.org/${name}`),
  // github.com/haproxytech/kubernetes-ingress at 0245a02, documentation/annotations.md
  haproxy: [
    'cookie-persistence',
    'rate-limit-period',
    'rate-limit-requests',
    'rate-limit-size',
    'rate-limit-status-code',
    'ssl-redirect',
    'ssl-redirect-code',
    'ssl-redirect-port',
    'timeout-server',
  ].map(name => `haproxy.org/${name}`),
};

test.each(Object.entries(documented) as ['nginx' | 'haproxy', string[]][])(
  '%s: every annotation is one that the vendor documents',
  (dialect, names) => {
    const used = said(dialect, grafana).match(/"[a-z.]+\.(org|com|io)\/[a-z-]+":/g) ?? [];
    expect(used.length).toBeGreaterThan(0);
    expect(names).toEqual(expect.arrayContaining(used.map(name => name.slice(1, -2))));
  },
);

test("nginx: a host's Ingress has its certificate and no path, the Ingresses of its paths the reverse", () => {
  const minionsMayNot = /ssl-redirect|"tls"/;
  const mastersMayNot = /websocket-services|"paths"/;
  for (const ingress of essence('nginx', grafana)) {
    const text = JSON.stringify(ingress);
    expect(text).not.toMatch(text.includes('"minion"') ? minionsMayNot : mastersMayNot);
  }
});

/** Fields of github.com/nginx/nginx-gateway-fabric at v2.6.7, apis/v1alpha1. */
const fields: Readonly<Record<string, readonly string[]>> = {
  ClientSettingsPolicy: ['body.maxSize', 'body.timeout', 'targetRef.group', 'targetRef.kind', 'targetRef.name'],
  ProxySettingsPolicy: ['timeout.connect', 'timeout.read', 'timeout.send', 'targetRefs.group', 'targetRefs.kind', 'targetRefs.name'],
  RateLimitPolicy: [
    'rateLimit.rejectCode',
    'rateLimit.dryRun',
    ...['key', 'rate', 'burst', 'delay', 'noDelay', 'zoneSize'].map(name => `rateLimit.local.rules.${name}`),
    'targetRefs.group',
    'targetRefs.kind',
    'targetRefs.name',
  ],
  UpstreamSettingsPolicy: ['loadBalancingMethod', 'zoneSize', 'targetRefs.group', 'targetRefs.kind', 'targetRefs.name'],
};

const paths = (value: unknown, path: readonly string[] = []): string[] =>
  typeof value === 'object' && value !== null
    ? Object.entries(value).flatMap(([key, child]) => paths(child, Array.isArray(value) ? path : [...path, key]))
    : [path.join('.')];

test('NGINX Gateway Fabric: every field of a policy is one that the vendor has', () => {
  const policies = essence('gateway-api: nginx-gateway-fabric', grafana).filter(({ kind }) => kind.endsWith('Policy'));
  expect([...new Set(policies.map(({ kind }) => kind))].sort()).toEqual(Object.keys(fields));
  for (const { kind, spec } of policies) expect(fields[kind]).toEqual(expect.arrayContaining(paths(spec)));
});

test('NGINX Gateway Fabric: its pods are beside the studio, reached from anywhere, and reach web and their controller', () => {
  const manifests = everything('gateway-api: nginx-gateway-fabric');
  expect(find(manifests, 'NetworkPolicy', 'edge-from-anywhere').spec.ingress[0].ports.map(({ port }: { port: number }) => port)).toEqual([
    80, 443,
  ]);
  expect(find(manifests, 'NetworkPolicy', 'edge-to-nginx-gateway-8443').spec.egress[0].ports).toEqual([{ port: 8443, protocol: 'TCP' }]);
  expect(find(manifests, 'NetworkPolicy', 'web-from-edge').spec.ingress[0].from).toEqual([
    { podSelector: { matchLabels: { 'gateway.networking.k8s.io/gateway-name': 'studio' } } },
  ]);
  expect(find(manifests, 'ResourceQuota', 'orfeas').spec.hard['services.loadbalancers']).toBe('1');
});

test('every layer takes bodies of the same size', () => {
  const manifests = everything('ingress-nginx', { uploads: { maxMebibytes: 20 } });
  const bytes = 21 * 2 ** 20;
  expect(find(manifests, 'Ingress', 'studio-api').metadata.annotations?.['nginx.ingress.kubernetes.io/proxy-body-size']).toBe(`${bytes}`);
  expect(find(manifests, 'ConfigMap', 'web-files').data['nginx.conf']).toContain(`client_max_body_size ${bytes};`);
  expect(find(manifests, 'ConfigMap', 'backend-env').data.MAX_FILE_SIZE).toBe(`${20 * 2 ** 20}`);
});
