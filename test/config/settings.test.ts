import { environmentNames, loadSettings, parseSettings, type Settings, SettingsError, type SettingsInput } from '../../config';
import * as derive from '../../config/derive';
import { production } from '../../config/production';

/** Production's settings with values put in at dotted paths. */
function changed(values: Readonly<Record<string, unknown>>): SettingsInput {
  const input = structuredClone(production) as Record<string, unknown>;
  for (const [path, value] of Object.entries(values)) {
    const keys = path.split('.');
    const last = keys.pop() as string;
    let node = input;
    for (const key of keys) {
      node[key] ??= {};
      node = node[key] as Record<string, unknown>;
    }
    node[last] = value;
  }
  return input as SettingsInput;
}

function faultsOf(values: Readonly<Record<string, unknown>>) {
  try {
    parseSettings(changed(values));
  } catch (error) {
    if (error instanceof SettingsError) return Object.values(error.faults).flat();
    throw error;
  }
  return [];
}

const bucket = { at: 's3', endpoint: 'https://s3.example.org', bucket: 'backups', credentialsSecret: 'bucket' };
const sftp = { at: 'sftp', host: 'nas.example.org', user: 'backup', path: '/srv/backups', keySecret: 'nas' };

const letsEncrypt = { source: 'lets-encrypt', email: 'operator@example.org' } as const;

test.each(environmentNames)('the settings of %s are valid', name => {
  expect(loadSettings(name).environment).toBe(name);
});

describe('the defaults are the numbers of the production template', () => {
  const settings = loadSettings('production');
  test.each<[string, (settings: Settings) => unknown, unknown]>([
    ['80 % of the GPU memory', s => s.gpu.memoryFraction, 0.8],
    ['three jobs at once', s => s.gpu.concurrentJobs, 3],
    ['XFORMERS off', s => s.performance.xformers, false],
    ['8 workers', derive.workers, 8],
    ['requests of at most 300 s', s => s.performance.gunicorn.timeoutSeconds, 300],
    ['30 s to stop', s => s.performance.gunicorn.gracefulTimeoutSeconds, 30],
    ['workers recycled after 1000 requests', s => s.performance.gunicorn.maxRequests, 1000],
    ['connections kept for 5 s', s => s.performance.gunicorn.keepAliveSeconds, 5],
    ['pictures of 50 MB', derive.maxFileBytes, 50 * 2 ** 20],
    ['pictures of 4096 px', s => s.uploads.maxSidePixels, 4096],
    ['JSON logs', s => s.logging.format, 'json'],
    ['log files of 10 MB', s => s.logging.fileMebibytes, 10],
    ['5 rotated log files', s => s.logging.fileBackups, 5],
    ['a WebSocket ping timeout of 60 s', s => s.websocket.pingTimeoutSeconds, 60],
    ['10 API requests a minute', s => s.rateLimiting.apiPerMinute, 10],
    ['100 jobs an hour', s => s.rateLimiting.jobsPerHour, 100],
    ['100 requests a second', s => s.rateLimiting.generalPerSecond, 100],
    ['2 GB of Redis', s => s.redis.maxMemoryMebibytes, 2048],
    ['a policy that spares the queue', s => s.redis.evictionPolicy, 'volatile-lru'],
    ['HSTS of a year', s => s.security.hstsSeconds, 31_536_000],
    ['a daily backup', s => s.backup.schedule, '0 3 * * *'],
    ['backups kept for 30 days', s => s.backup.retentionDays, 30],
    ['a model load of 36 s', s => s.model.loadSeconds, 36],
  ])('%s', (_, read, expected) => {
    expect(read(settings)).toBe(expected);
  });
});

describe('a wrong setting is named with its path, its value and a remedy', () => {
  test.each<[string, unknown, RegExp]>([
    ['namespace', 'Orfeas', /DNS label/],
    ['host', 'localhost', /studio\.example\.org/],
    ['environment', 'prod', /"local" or "staging" or "production"/],
    ['gpu.memoryFraction', 1.5, /at most 1/],
    ['gpu.concurrentJobs', 0, /at least 1/],
    ['gpu.resourceName', 'gpu', /nvidia\.com\/gpu/],
    ['gpu.device', 'cpu', /relief/],
    ['gpu.perPod', 0, /gets no GPU/],
    ['gpu.available', 0, /at least 1/],
    ['model.engine', 'magic', /"hunyuan3d" or "relief"/],
    ['model.steps', { default: 200 }, /min ≤ default ≤ max/],
    ['performance.gunicorn.workers', 20, /at most 8/],
    ['performance.gunicorn.gracefulTimeoutSeconds', 600, /at most 300/],
    ['performance.gunicorn.timeoutSeconds', '300', /number/],
    ['uploads.maxMebibytes', 5000, /at most 1024/],
    ['uploads.maxSidePixels', 0.5, /whole number/],
    ['logging.level', 'LOUD', /"DEBUG" or/],
    ['websocket.pingIntervalSeconds', 60, /below websocket\.pingTimeoutSeconds/],
    ['rateLimiting.jobsPerHour', 1000, /at most 600/],
    ['cors.origins', ['*'], /name the origins/],
    ['redis.evictionPolicy', 'allkeys-lru', /volatile-lru/],
    ['redis.maxMemoryMebibytes', -1, /at least 1/],
    ['redis.database', 16, /at most 15/],
    ['security.sessionCookie', { sameSite: 'None', secure: false }, /true/],
    ['backup.schedule', 'daily', /five fields/],
    ['backup.timeZone', 'Vienna', /Europe\/Vienna/],
    ['backup.timeZone', 'utc', /IANA/],
    ['backup.verify', { schedule: '0 3 * * *' }, /some hours after/],
    ['backup.verify', { dataPercent: 0 }, /at least 1/],
    ['backup.resources', { requests: { cpu: 4, memoryMebibytes: 256 } }, /limits\.cpu/],
    ['backup.repository', { at: 'tape' }, /"claim"|claim/],
    ['backup.repository', { ...bucket, endpoint: 's3.example.org' }, /https:/],
    ['backup.repository', { ...bucket, endpoint: 'http://s3.example.org' }, /use https, or name a Service/],
    ['backup.repository', { ...bucket, endpoint: 'https://s3.example.org/backups' }, /name the bucket in bucket/],
    ['backup.repository', { ...bucket, endpoint: 'https://s3.example.org:9000' }, /give its addresses/],
    ['backup.repository', { ...bucket, endpoint: 'https://192.168.1.5' }, /give its addresses/],
    ['backup.repository', { ...bucket, endpoint: 'https://[fd00::5]' }, /give its addresses/],
    ['backup.repository', { ...bucket, endpoint: 'https://s3.internal' }, /give its addresses/],
    ['backup.repository', { ...bucket, bucket: 'Backups' }, /lower-case/],
    ['backup.repository', { ...bucket, addresses: ['192.168.1.5'] }, /10\.0\.0\.0\/8/],
    ['backup.repository', { at: 'rest', url: 'https://user:hunter2@backup.example.org/' }, /into a Secret/],
    ['backup.repository', sftp, /give its addresses/],
    ['backup.repository', { ...sftp, addresses: ['192.0.2.0/24'], path: 'backups' }, /\/srv\/backups/],
    ['flask.debug', true, /false/],
    ['images.registry', 'https://registry.test', /registry\.example\.org/],
    ['images.version', 'latest', /name a version/],
    ['images.mirror', 'https://mirror.test', /registry\.example\.org/],
    ['images.platforms', ['amd64'], /linux\/amd64/],
    ['backend.replicas', 2, /ReadWriteMany|at least 2/],
    ['backend.startupSeconds', 10, /twice model\.loadSeconds/],
    ['backend.drainSeconds', 10, /jobTimeoutSeconds/],
    ['backend.extraEnvironment', { HF_TOKEN: 'abc' }, /Secret/],
    ['backend.extraEnvironment', { '1x': 'abc' }, /environment variable/],
    ['backend.api', { limits: { cpu: 4, memoryMebibytes: 512 } }, /at least 1408/],
    ['web.trustedProxies', ['10.0.0.1/33'], /10\.0\.0\.0\/8/],
    ['web.resources', { ephemeralMebibytes: 10 }, /at least 255/],
    ['storage.redisData', { gibibytes: 1 }, /at least 4/],
    ['storage.outputs', { accessMode: 'ReadWriteTwice' }, /ReadWriteMany/],
    ['edge.dialect', 'apache', /"traefik" or "ingress-nginx" or "nginx" or "haproxy" or "gateway-api"/],
    ['edge', { dialect: 'gateway-api' }, /"traefik" or "envoy-gateway" or "nginx-gateway-fabric"/],
    ['edge.certificate', { source: 'private-ca' }, /string/],
    ['edge.certificate', { ...letsEncrypt, challenge: { by: 'dns-01' } }, /object/],
    [
      'edge.certificate',
      { ...letsEncrypt, challenge: { by: 'dns-01', provider: { name: 'dyn' } } },
      /"cloudflare" or "route53" or "rfc2136"/,
    ],
    [
      'edge.certificate',
      { ...letsEncrypt, challenge: { by: 'dns-01', provider: { name: 'route53', region: 'Frankfurt' } } },
      /eu-central-1/,
    ],
    ['edge.certificate', { source: 'lets-encrypt', email: 'nobody' }, /name@example/],
    ['edge.namespaces', [], /at least 1/],
    ['monitoring.scrapeTimeoutSeconds', 30, /at most 15/],
    ['monitoring.serviceLevel', { jobLatency: { seconds: 82 } }, /60 or 90/],
    ['monitoring.serviceLevel', { availability: 1 }, /less than 1/],
    ['monitoring.runbooks', 'docs', /https:/],
    ['monitoring.stack', { mode: 'cloud' }, /"bundled" or "operator"|bundled/],
    [
      'monitoring.stack',
      { mode: 'bundled', prometheus: { kubeStateMetrics: 'kube-state-metrics:8080' } },
      /kube-state-metrics\.monitoring/,
    ],
    ['monitoring.stack', { mode: 'bundled', prometheus: { remoteWrite: [{ url: 'http://metrics.example.org/write' }] } }, /port 443/],
    ['monitoring.stack', { mode: 'bundled', grafana: { access: { by: 'path', path: '/api' } } }, /\/grafana/],
    ['monitoring.stack', { mode: 'bundled', grafana: { access: { by: 'host', host: production.host } } }, /another host/],
    ['monitoring.stack', { mode: 'bundled', alertmanager: { source: 'bundled' } }, /string/],
    ['monitoring.exporter', { requests: { cpu: 1, memoryMebibytes: 32 } }, /limits\.cpu/],
    ['unknown', 1, /docs\/settings\.md/],
    ['images.registry', 'CHANGE_ME', /give the real value/],
  ])('%s: %j', (path, value, remedy) => {
    const faults = faultsOf({ [path]: value });
    expect(faults.length).toBeGreaterThan(0);
    for (const fault of faults)
      expect(fault).toEqual({ path: expect.any(String), value: fault.value, problem: expect.any(String), remedy: expect.any(String) });
    const text = faults.map(fault => `${fault.path}: ${fault.problem}: ${fault.remedy}`).join('\n');
    expect(text).toContain(path);
    expect(text).toMatch(remedy);
  });

  test('all faults come at once', () => {
    expect(faultsOf({ 'gpu.memoryFraction': 2, 'redis.database': 99, host: 'x y' }).map(({ path }) => path)).toEqual(
      expect.arrayContaining(['gpu.memoryFraction', 'redis.database', 'host']),
    );
  });

  test('a secret in an extra variable is refused without being shown', () => {
    const [fault] = faultsOf({ 'backend.extraEnvironment': { API_KEY: 'hunter2' } });
    expect(JSON.stringify(fault)).not.toContain('hunter2');
  });

  test('a URL with credentials is refused without being shown', () => {
    const faults = faultsOf({ 'backup.repository': { at: 'rest', url: 'https://user:hunter2@backup.example.org/' } });
    expect(JSON.stringify(faults)).not.toContain('hunter2');
  });

  test.each([
    ['a bucket on the internet', bucket],
    ['a bucket of the cluster', { ...bucket, endpoint: 'http://minio.storage.svc:9000' }],
    ['a bucket at private addresses', { ...bucket, endpoint: 'https://192.168.1.5:9000', addresses: ['192.168.1.5/32'] }],
    ['a rest-server without credentials', { at: 'rest', url: 'https://backup.example.org/' }],
    ['SFTP within the cluster', { ...sftp, host: 'nas.storage.svc' }],
    ['SFTP elsewhere', { ...sftp, addresses: ['192.0.2.10/32'] }],
  ])('nothing is wrong with a repository that is %s', (_, repository) => {
    expect(faultsOf({ 'backup.repository': repository })).toEqual([]);
  });

  test('the message reads as path, value, problem and remedy', () => {
    expect(() => parseSettings(changed({ 'redis.evictionPolicy': 'allkeys-lru' }))).toThrow(
      `1 fault in the settings of production (config/production.ts):
  redis.evictionPolicy is "allkeys-lru": it may evict queued jobs
    → use volatile-lru, which spares keys without an expiry`,
    );
  });
});

describe('a setting that another dialect has neither compiles nor is taken', () => {
  const provider = { name: 'route53', region: 'eu-central-1' } as const;
  const edges: NonNullable<SettingsInput['edge']>[] = [
    // @ts-expect-error Gateway API alone has implementations
    { dialect: 'haproxy', implementation: 'traefik' },
    // @ts-expect-error Traefik's entry points alone have ports of their own
    { dialect: 'gateway-api', implementation: 'envoy-gateway', ports: { http: 80 } },
    // @ts-expect-error a challenge over HTTP needs no provider
    { dialect: 'traefik', certificate: { ...letsEncrypt, challenge: { by: 'http-01', provider } } },
  ];
  test.each(edges)('%j', edge => {
    expect(faultsOf({ edge }).map(({ problem }) => problem)).toEqual(['no such setting']);
  });
});

describe('what is derived', () => {
  const settings = (values: Readonly<Record<string, unknown>> = {}) => parseSettings(changed(values));
  const shared = { accessMode: 'ReadWriteMany' };
  const sharedVolumes = { 'storage.outputs': shared, 'storage.huggingfaceCache': shared, 'storage.hy3dgenCache': shared };

  test('with as many GPUs as pods, the old pod goes first', () => {
    expect(derive.rolloutStrategy(settings(sharedVolumes))).toBe('Recreate');
  });
  test('with a GPU to spare and volumes that two nodes can mount, the new pod comes first', () => {
    expect(derive.rolloutStrategy(settings({ ...sharedVolumes, 'gpu.available': 2 }))).toBe('RollingUpdate');
  });
  test('a GPU to spare is not enough where only one node can mount the volumes', () => {
    expect(derive.rolloutStrategy(settings({ 'gpu.available': 2 }))).toBe('Recreate');
  });
  test('the startup budget is twice the load, and the download where there is one', () => {
    expect(derive.startupSeconds(settings())).toBe(2 * 36 + 900);
    expect(derive.startupSeconds(settings({ 'model.offline': true }))).toBe(2 * 36);
  });
  test('the longest job fits into the drain, the drain into the termination, and both into the deadline', () => {
    const s = settings();
    expect(derive.drainSeconds(s)).toBeGreaterThanOrEqual(s.model.jobTimeoutSeconds);
    expect(derive.terminationSeconds(s)).toBeGreaterThan(derive.drainSeconds(s));
    expect(derive.progressDeadlineSeconds(s)).toBeGreaterThan(derive.terminationSeconds(s) + derive.startupSeconds(s));
  });
  test('hosts, registries and addresses of examples are placeholders', () => {
    expect(derive.placeholders(settings()).map(({ path }) => path)).toEqual(['host', 'images.registry', 'edge.certificate.email']);
    expect(
      derive.placeholders(
        settings({ host: 'studio.test.org', 'images.registry': 'r.test.org/x', 'edge.certificate': { source: 'secret' } }),
      ),
    ).toEqual([]);
  });
  test('so is the server of the backups, where they are made', () => {
    const repository = { ...bucket, endpoint: 'https://s3.example.com' };
    const paths = (backup: object) => derive.placeholders(settings({ backup })).map(({ path }) => path);
    expect(paths({ repository })).toContain('backup.repository.endpoint');
    expect(paths({ repository, enabled: false })).not.toContain('backup.repository.endpoint');
  });
});
