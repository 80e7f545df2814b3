import { bundledStack, maxWorkers, serviceOf, startupSeconds, WEB_ROOM, workers } from './derive';
import type { Fault } from './fault';
import { isPrivate, reachOf, serverOf } from './repository';
import type { Settings } from './schema';

/** Memory of one Gunicorn worker. */
const WORKER_MEBIBYTES = 128;
/** What the one process may take that decodes pictures, as images/backend limits it. */
const decoderMebibytes = ({ uploads }: Settings): number => Math.ceil(128 + (uploads.maxSidePixels ** 2 * 16) / 2 ** 20);
/** Redis copies pages that change while it rewrites its log. */
const REDIS_HEADROOM = 1.25;

/** What the studio's own pages and API are below. */
const RESERVED_PATHS = ['/api', '/assets', '/health', '/metrics', '/outputs', '/ready'];

type Check = (settings: Settings) => Fault[];

const fault = (path: string, value: unknown, problem: string, remedy: string): Fault => ({ path, value, problem, remedy });
const when = (condition: boolean, found: () => Fault): Fault[] => (condition ? [found()] : []);

/** Facts that hold between settings. Each returns what is wrong. */
const checks: readonly Check[] = [
  settings => {
    const limit = maxWorkers(settings);
    return when(workers(settings) > limit, () =>
      fault(
        'performance.gunicorn.workers',
        workers(settings),
        `more workers than ${settings.backend.api.limits.cpu} CPU can keep busy`,
        `use at most ${limit} (cores × 2 + 1, never over 8), raise backend.api.limits.cpu, or leave it out`,
      ),
    );
  },
  settings => {
    const decoder = decoderMebibytes(settings);
    const needed = workers(settings) * WORKER_MEBIBYTES + decoder;
    const { memoryMebibytes } = settings.backend.api.limits;
    return when(needed > memoryMebibytes, () =>
      fault(
        'backend.api.limits.memoryMebibytes',
        memoryMebibytes,
        `${workers(settings)} workers and the decoder of pictures need ${needed} MiB`,
        `give it at least ${needed}, or lower performance.gunicorn.workers or uploads.maxSidePixels (its decoder takes ${decoder})`,
      ),
    );
  },
  settings =>
    when(startupSeconds(settings) < settings.model.loadSeconds, () =>
      fault(
        'backend.startupSeconds',
        settings.backend.startupSeconds,
        `the model takes up to ${settings.model.loadSeconds} s to load, so the pod would be restarted for ever`,
        'raise it to twice model.loadSeconds or more, or leave it out to have it derived',
      ),
    ),
  ({ backend, model }) =>
    when(backend.drainSeconds !== undefined && backend.drainSeconds < model.jobTimeoutSeconds, () =>
      fault(
        'backend.drainSeconds',
        backend.drainSeconds,
        `a job may take ${model.jobTimeoutSeconds} s and would be cut off`,
        'raise it to model.jobTimeoutSeconds or more, or leave it out to have it derived',
      ),
    ),
  ({ performance, model }) =>
    when(performance.gunicorn.gracefulTimeoutSeconds > performance.gunicorn.timeoutSeconds, () =>
      fault(
        'performance.gunicorn.gracefulTimeoutSeconds',
        performance.gunicorn.gracefulTimeoutSeconds,
        `longer than a request may take at all (performance.gunicorn.timeoutSeconds: ${performance.gunicorn.timeoutSeconds})`,
        `use at most ${Math.min(performance.gunicorn.timeoutSeconds, model.jobTimeoutSeconds)}`,
      ),
    ),
  ({ redis }) =>
    when(redis.evictionPolicy.startsWith('allkeys-'), () =>
      fault(
        'redis.evictionPolicy',
        redis.evictionPolicy,
        'it may evict queued jobs',
        'use volatile-lru, which spares keys without an expiry',
      ),
    ),
  ({ redis }) => {
    const needed = Math.ceil(redis.maxMemoryMebibytes * REDIS_HEADROOM);
    return when(redis.resources.limits.memoryMebibytes < needed, () =>
      fault(
        'redis.resources.limits.memoryMebibytes',
        redis.resources.limits.memoryMebibytes,
        `Redis holds up to ${redis.maxMemoryMebibytes} MiB of data and copies pages while it rewrites its log`,
        `give it at least ${needed}, or lower redis.maxMemoryMebibytes`,
      ),
    );
  },
  ({ redis, storage }) => {
    const needed = Math.ceil((redis.maxMemoryMebibytes * 2) / 1024);
    return when(storage.redisData.gibibytes < needed, () =>
      fault(
        'storage.redisData.gibibytes',
        storage.redisData.gibibytes,
        `the append-only log of ${redis.maxMemoryMebibytes} MiB and its rewrite do not fit`,
        `give it at least ${needed}, or lower redis.maxMemoryMebibytes`,
      ),
    );
  },
  ({ uploads, backend, web }) => {
    const four = (uploads.maxMebibytes + 1) * 4;
    return [
      ['web.resources.ephemeralMebibytes', web.resources.ephemeralMebibytes, Math.ceil(four / WEB_ROOM)] as const,
      ['backend.api.ephemeralMebibytes', backend.api.ephemeralMebibytes, four] as const,
    ].flatMap(([path, value, needed]) =>
      when(value < needed, () =>
        fault(
          path,
          value,
          `four uploads of ${uploads.maxMebibytes} MiB at once do not fit`,
          `give it at least ${needed}, or lower uploads.maxMebibytes`,
        ),
      ),
    );
  },
  ({ model }) =>
    when(model.steps.min > model.steps.default || model.steps.default > model.steps.max, () =>
      fault('model.steps', model.steps, 'the default is outside of its limits', 'keep min ≤ default ≤ max'),
    ),
  ({ model, gpu }) =>
    when(model.engine === 'hunyuan3d' && gpu.device !== 'cuda', () =>
      fault('gpu.device', gpu.device, 'the engine hunyuan3d computes on a GPU only', 'set it to cuda, or model.engine to relief'),
    ),
  ({ gpu }) =>
    when(gpu.device === 'cuda' && gpu.perPod === 0, () =>
      fault('gpu.perPod', 0, 'gpu.device is cuda, but the pod gets no GPU', 'set it to 1, or gpu.device to cpu'),
    ),
  ({ gpu }) =>
    when(gpu.device === 'cpu' && gpu.perPod > 0, () =>
      fault('gpu.perPod', gpu.perPod, 'gpu.device is cpu, so the GPU would idle', 'set it to 0, or gpu.device to cuda'),
    ),
  ({ gpu, backend }) =>
    when(gpu.perPod > 0 && gpu.available < backend.replicas * gpu.perPod, () =>
      fault(
        'gpu.available',
        gpu.available,
        `${backend.replicas} backend pod(s) with ${gpu.perPod} GPU(s) each cannot all be scheduled`,
        `set it to the GPUs that the cluster has for this studio, at least ${backend.replicas * gpu.perPod}, or lower backend.replicas`,
      ),
    ),
  ({ backend, storage }) =>
    (['outputs', 'huggingfaceCache', 'hy3dgenCache'] as const).flatMap(name =>
      when(backend.replicas > 1 && storage[name].accessMode !== 'ReadWriteMany', () =>
        fault(
          `storage.${name}.accessMode`,
          storage[name].accessMode,
          `${backend.replicas} backend pods share it, and only one node can mount it`,
          'set it to ReadWriteMany with a storageClass that offers it, or backend.replicas to 1',
        ),
      ),
    ),
  ({ websocket }) =>
    when(websocket.pingIntervalSeconds >= websocket.pingTimeoutSeconds, () =>
      fault(
        'websocket.pingIntervalSeconds',
        websocket.pingIntervalSeconds,
        `connections would be dropped before they are asked (websocket.pingTimeoutSeconds: ${websocket.pingTimeoutSeconds})`,
        'keep it below websocket.pingTimeoutSeconds',
      ),
    ),
  ({ rateLimiting }) =>
    when(rateLimiting.jobsPerHour > rateLimiting.apiPerMinute * 60, () =>
      fault(
        'rateLimiting.jobsPerHour',
        rateLimiting.jobsPerHour,
        `never reached: ${rateLimiting.apiPerMinute} requests a minute are ${rateLimiting.apiPerMinute * 60} an hour`,
        `use at most ${rateLimiting.apiPerMinute * 60}, or raise rateLimiting.apiPerMinute`,
      ),
    ),
  ({ cors }) =>
    when(cors.enabled && cors.allowCredentials && cors.origins.includes('*'), () =>
      fault(
        'cors.origins',
        cors.origins,
        'any site could act with the credentials of a visitor',
        'name the origins, or set cors.allowCredentials to false',
      ),
    ),
  ({ security }) =>
    when(security.sessionCookie.sameSite === 'None' && !security.sessionCookie.secure, () =>
      fault('security.sessionCookie.secure', false, 'browsers drop SameSite=None cookies that are not Secure', 'set it to true'),
    ),
  ({ flask, environment }) =>
    when(flask.debug && environment !== 'local', () =>
      fault('flask.debug', true, `it shows source code to visitors of ${environment}`, 'set it to false'),
    ),
  ({ edge, host }) =>
    when(edge.certificate.source === 'lets-encrypt' && isPrivate(host), () =>
      fault(
        'host',
        host,
        "Let's Encrypt cannot reach a private name",
        "use a public name, or set edge.certificate to { source: 'secret' } and run orfeas tls",
      ),
    ),
  settings => {
    const { backend, redis, web, monitoring, backup } = settings;
    const stack = bundledStack(settings);
    return Object.entries({
      'backend.api': backend.api,
      'backend.worker': backend.worker,
      'backend.realtime': backend.realtime,
      'redis.resources': redis.resources,
      'web.resources': web.resources,
      'monitoring.exporter': monitoring.exporter,
      'backup.resources': backup.resources,
      ...(stack && {
        'monitoring.stack.prometheus.resources': stack.prometheus.resources,
        'monitoring.stack.grafana.resources': stack.grafana.resources,
      }),
      ...(stack?.alertmanager.source === 'bundled' && { 'monitoring.stack.alertmanager.resources': stack.alertmanager.resources }),
    }).flatMap(([path, { requests, limits }]) =>
      (['cpu', 'memoryMebibytes'] as const).flatMap(name =>
        when(requests[name] > limits[name], () =>
          fault(
            `${path}.requests.${name}`,
            requests[name],
            `more than the limit of ${limits[name]}`,
            `lower it, or raise ${path}.limits.${name}`,
          ),
        ),
      ),
    );
  },
  ({ monitoring }) =>
    when(monitoring.scrapeTimeoutSeconds > monitoring.scrapeIntervalSeconds, () =>
      fault(
        'monitoring.scrapeTimeoutSeconds',
        monitoring.scrapeTimeoutSeconds,
        `longer than the interval (monitoring.scrapeIntervalSeconds: ${monitoring.scrapeIntervalSeconds})`,
        `use at most ${monitoring.scrapeIntervalSeconds}`,
      ),
    ),
  settings =>
    (bundledStack(settings)?.prometheus.remoteWrite ?? []).flatMap(({ url }, index) =>
      when(serviceOf(url) === undefined && !/^https:\/\/[^/:]+(:443)?(\/|$)/.test(url), () =>
        fault(
          `monitoring.stack.prometheus.remoteWrite.${index}.url`,
          url,
          'samples would leave the cluster unencrypted, or by a port that the NetworkPolicies keep shut',
          'use https and port 443, or name a Service: http://<service>.<namespace>.svc:<port>/…',
        ),
      ),
    ),
  settings => {
    const grafana = bundledStack(settings)?.grafana.access;
    return when(grafana?.by === 'path' && RESERVED_PATHS.includes(grafana.path), () =>
      fault(
        'monitoring.stack.grafana.access.path',
        grafana?.by === 'path' && grafana.path,
        'the studio itself answers there',
        'use /grafana',
      ),
    );
  },
  settings => {
    const grafana = bundledStack(settings)?.grafana.access;
    return when(grafana?.by === 'host' && grafana.host === settings.host, () =>
      fault('monitoring.stack.grafana.access.host', settings.host, "it is the studio's own", "use another host, or { by: 'path' }"),
    );
  },
  ({ backup: { repository } }) => {
    if (repository.at === 'claim' || repository.at === 'sftp') return [];
    const { url, setting } = serverOf(repository);
    return when(new URL(url).username !== '', () =>
      fault(
        `backup.repository.${setting}`,
        '(not shown)',
        'a URL in git is no place for credentials',
        'put them into a Secret, and name it in backup.repository.credentialsSecret',
      ),
    );
  },
  ({ backup: { repository } }) => {
    if (repository.at === 'claim') return [];
    const { url, setting } = serverOf(repository);
    return when(url.startsWith('http:') && serviceOf(url) === undefined, () =>
      fault(
        `backup.repository.${setting}`,
        url,
        'the credentials would cross the network unencrypted',
        'use https, or name a Service: http://<service>.<namespace>.svc:<port>',
      ),
    );
  },
  ({ backup: { repository } }) => {
    if (repository.at === 'claim') return [];
    const { url } = serverOf(repository);
    return when(reachOf(repository) === undefined && !url.startsWith('http:'), () =>
      fault(
        'backup.repository.addresses',
        repository.addresses,
        `NetworkPolicies keep the way to ${new URL(url).host} shut: only public addresses are open, for HTTPS at port 443`,
        'give its addresses, like 192.0.2.10/32',
      ),
    );
  },
  ({ backup }) =>
    when(backup.enabled && backup.verify.schedule === backup.schedule, () =>
      fault(
        'backup.verify.schedule',
        backup.verify.schedule,
        'the backup runs at the same time (backup.schedule), and one of the two would find the repository locked',
        'choose a time some hours after it',
      ),
    ),
  ({ backend }) =>
    Object.keys(backend.extraEnvironment).flatMap(name =>
      when(/(SECRET|PASSWORD|TOKEN|API_?KEY)/i.test(name), () =>
        fault(
          `backend.extraEnvironment.${name}`,
          '(not shown)',
          'a ConfigMap in git is no place for a secret',
          'keep it in a Secret; orfeas-app is made by orfeas secrets',
        ),
      ),
    ),
];

/** All that is wrong between otherwise well-formed settings. */
export const crossCheck = (settings: Settings): Fault[] => checks.flatMap(check => check(settings));
