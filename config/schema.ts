import * as z from 'zod';

/*
 * The settings of one studio: the fifteen sections of the production template, then what a cluster adds.
 * Each default is the number of the Docker Compose deployment, unless its description says otherwise.
 */

const dnsLabel = z
  .string()
  .max(63)
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, 'not a DNS label: use lower-case letters, digits and hyphens, 63 characters at most');

const hostname = z
  .string()
  .max(253)
  .regex(/^([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)+[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, 'not a host name: write it like studio.example.org');

const cidr = z.union([z.cidrv4(), z.cidrv6()], { error: 'not a range of addresses: write it like 10.0.0.0/8' });

const CRON_FIELD = String.raw`(\*|\d+(-\d+)?(,\d+(-\d+)?)*)(/\d+)?`;
const cron = z
  .string()
  .regex(
    new RegExp(`^${CRON_FIELD}( ${CRON_FIELD}){4}$`),
    'not a cron schedule: write five fields, like "0 3 * * *" for every day at 03:00',
  );

const count = z.int().min(1);
const cpu = z.number().positive().describe('CPU cores');
const mebibytes = count.describe('MiB');
const gibibytes = count.describe('GiB');

const quantities = z.strictObject({ cpu, memoryMebibytes: mebibytes });

const resources = (requests: Quantities, limits: Quantities, ephemeralMebibytes: number) =>
  z
    .strictObject({
      requests: quantities.default(requests).describe('What the scheduler sets aside for the container'),
      limits: quantities.default(limits).describe('What the container may use at most'),
      ephemeralMebibytes: mebibytes.default(ephemeralMebibytes).describe('Scratch space: writable folders and logs, in MiB'),
    })
    .prefault({});

const timeZone = z.string().refine(
  zone => {
    try {
      return /^[A-Z]/.test(zone) && Boolean(new Intl.DateTimeFormat('en', { timeZone: zone }));
    } catch {
      return false;
    }
  },
  { error: 'not a time zone: write it like Europe/Vienna, as the IANA database has it' },
);

const claim = (size: number) =>
  z
    .strictObject({
      gibibytes: gibibytes.default(size).describe('Size of the claim in GiB'),
      storageClass: dnsLabel.optional().describe("StorageClass; the cluster's default when absent"),
      accessMode: z
        .enum(['ReadWriteOnce', 'ReadWriteMany'])
        .default('ReadWriteOnce')
        .describe('ReadWriteMany lets pods on several nodes share it'),
    })
    .prefault({});

const flask = z
  .strictObject({
    debug: z.boolean().default(false).describe('Debug mode: refused outside of local'),
  })
  .prefault({});

const gpu = z
  .strictObject({
    device: z.enum(['cuda', 'cpu']).default('cuda').describe('Where the engine computes'),
    memoryFraction: z.number().gt(0).max(1).default(0.8).describe("Share of the GPU's memory that the model may use: 19.2 of 24 GB"),
    concurrentJobs: count.max(16).default(3).describe('Jobs that one GPU works on at once'),
    resourceName: z
      .string()
      .regex(/^[a-z0-9.-]+\/[A-Za-z0-9._-]+$/, 'not an extended resource: write it like nvidia.com/gpu')
      .default('nvidia.com/gpu')
      .describe('Extended resource that the device plugin advertises, such as nvidia.com/mig-1g.10gb'),
    perPod: z.int().min(0).default(1).describe('GPUs that one backend pod takes'),
    available: z
      .int()
      .min(0)
      .default(1)
      .describe('GPUs in the cluster that this studio may take; a spare one lets a rollout start the new pod first'),
    runtimeClass: dnsLabel.optional().describe('RuntimeClass of the backend, such as nvidia, where the cluster needs one'),
    nodeSelector: z.record(z.string(), z.string()).default({}).describe('Labels of the nodes that the backend may run on'),
    tolerations: z
      .array(
        z.strictObject({
          key: z.string(),
          operator: z.enum(['Exists', 'Equal']).default('Exists'),
          value: z.string().optional(),
          effect: z.enum(['NoSchedule', 'PreferNoSchedule', 'NoExecute']).optional(),
        }),
      )
      .default([{ key: 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' }])
      .describe('Taints of GPU nodes that the backend tolerates'),
  })
  .prefault({});

const model = z
  .strictObject({
    engine: z
      .enum(['hunyuan3d', 'relief'])
      .default('hunyuan3d')
      .describe('hunyuan3d is the real model; relief needs neither GPU nor model'),
    hunyuan3dPath: z.string().min(1).default('tencent/Hunyuan3D-2').describe('Model repository or folder that hy3dgen loads'),
    offline: z.boolean().default(false).describe('Never download: the cache volumes hold the model already'),
    steps: z
      .strictObject({
        default: count.default(50).describe('Inference steps of a request that asks for none'),
        min: count.default(10).describe('Fewest inference steps that a request may ask for'),
        max: count.default(100).describe('Most inference steps that a request may ask for'),
      })
      .prefault({})
      .describe('Inference steps that a request may ask for'),
    loadSeconds: count.default(36).describe('Longest load from a filled cache; it takes 30 to 36 s'),
    downloadSeconds: z.int().min(0).default(900).describe('Allowance for the first download of the model, about 8 GB'),
    jobTimeoutSeconds: count.default(300).describe('Longest that one job may take'),
  })
  .prefault({});

const performance = z
  .strictObject({
    xformers: z.boolean().default(false).describe('Use xFormers attention'),
    cudnnV8Api: z.boolean().default(true).describe('Use the v8 API of cuDNN'),
    cudaLaunchBlocking: z.boolean().default(false).describe('Synchronous CUDA launches, for debugging'),
    gunicorn: z
      .strictObject({
        workers: count.optional().describe('Worker processes; cores × 2 + 1 and at most 8 when absent'),
        timeoutSeconds: count.default(300).describe('A worker silent for longer is replaced'),
        gracefulTimeoutSeconds: count.default(30).describe('Time to finish requests on a stop'),
        maxRequests: count.default(1000).describe('Requests after which a worker is recycled'),
        keepAliveSeconds: count.default(5).describe('How long an idle connection is kept'),
      })
      .prefault({}),
  })
  .prefault({});

const uploads = z
  .strictObject({
    maxMebibytes: count.max(1024).default(50).describe('Largest picture in MiB; every layer derives its limit from this'),
    maxSidePixels: count.max(32768).default(4096).describe('Longest side of a picture'),
  })
  .prefault({});

const logging = z
  .strictObject({
    level: z.enum(['DEBUG', 'INFO', 'WARNING', 'ERROR']).default('INFO').describe('Least severity that is logged'),
    format: z.enum(['json', 'text']).default('json').describe('json for log collectors, text for people'),
    fileMebibytes: count.default(10).describe('Size at which a log file is rotated'),
    fileBackups: z.int().min(0).default(5).describe('Rotated files that are kept'),
  })
  .prefault({});

/** Bounds of the buckets that the backend counts durations of jobs in: a share can be told for these alone. */
const jobSeconds = z.literal([1, 2.5, 5, 10, 20, 40, 60, 90, 120, 180, 300, 600], {
  error: 'not a bucket of the duration histograms: use 1, 2.5, 5, 10, 20, 40, 60, 90, 120, 180, 300 or 600',
});
const share = z.number().min(0.5).lt(1);

const serviceLevel = z
  .strictObject({
    availability: share.default(0.995).describe('Share of requests that web answers without an error of ours, over 30 days'),
    jobSuccess: share.default(0.98).describe('Share of jobs that end with a model'),
    jobLatency: z
      .strictObject({
        share: share.default(0.95).describe('Share of completed jobs that take at most so long'),
        seconds: jobSeconds.default(120).describe('Time of work on a job'),
      })
      .prefault({}),
    queueWait: z
      .strictObject({
        share: share.default(0.95).describe('Share of jobs that wait at most so long'),
        seconds: jobSeconds.default(300).describe('Time from acceptance to the start of work'),
      })
      .prefault({}),
  })
  .prefault({});

/** As a name within the cluster, so that a NetworkPolicy can name its namespace. */
const endpoint = z
  .string()
  .regex(
    /^[a-z0-9]([-a-z0-9]*[a-z0-9])?\.[a-z0-9]([-a-z0-9]*[a-z0-9])?:\d{1,5}$/,
    'not a Service of the cluster: write it like kube-state-metrics.monitoring:8080',
  );

const remoteWrite = z.strictObject({
  url: z
    .url({ protocol: /^https?$/, message: 'not a URL: write it like https://metrics.example.org/api/v1/write' })
    .describe('A public address over HTTPS, or http://<service>.<namespace>.svc:<port>/… within the cluster'),
  basicAuthSecret: dnsLabel.optional().describe('Secret of type kubernetes.io/basic-auth with the credentials'),
});

const grafanaAccess = z.discriminatedUnion('by', [
  z
    .strictObject({ by: z.literal('port-forward').describe('Nothing outside reaches Grafana; `orfeas open grafana` does') })
    .describe('orfeas open grafana'),
  z
    .strictObject({
      by: z.literal('path').describe("A path of the studio's host"),
      path: z
        .string()
        .regex(/^\/[a-z0-9][a-z0-9-]*$/, 'not a path: write it like /grafana')
        .default('/grafana')
        .describe('Where Grafana is on the host of the studio'),
    })
    .describe("Below a path of the studio's host"),
  z
    .strictObject({ by: z.literal('host').describe('A host of its own'), host: hostname.describe('Name under which people reach Grafana') })
    .describe('On a host of its own'),
]);

const alertmanager = z.discriminatedUnion('source', [
  z
    .strictObject({ source: z.literal('none').describe('Alerts are shown by Grafana, Prometheus and orfeas status alone') })
    .describe('Nobody is told'),
  z
    .strictObject({
      source: z.literal('external').describe('Alerts are sent to Alertmanagers that run already'),
      targets: z.array(endpoint).min(1).describe('Their addresses: <service>.<namespace>:<port>'),
    })
    .describe('Alertmanagers that the cluster has'),
  z
    .strictObject({
      source: z.literal('bundled').describe('An Alertmanager is deployed beside Prometheus'),
      receiver: z.enum(['webhook', 'slack']).default('webhook').describe('Who gets its notifications'),
      receiverSecret: dnsLabel.describe('Secret whose key url holds the address of the receiver'),
      resources: resources({ cpu: 0.01, memoryMebibytes: 64 }, { cpu: 0.5, memoryMebibytes: 128 }, 64),
    })
    .describe('One of its own, with a receiver'),
]);

const bundledStack = z.strictObject({
  mode: z.literal('bundled').describe('Prometheus and Grafana of its own'),
  prometheus: z
    .strictObject({
      retentionDays: count.default(30).describe('How long samples are kept'),
      remoteWrite: z.array(remoteWrite).default([]).describe('Where samples are sent as well'),
      kubeStateMetrics: endpoint.optional().describe("The cluster's kube-state-metrics: <service>.<namespace>:<port>"),
      dcgmExporter: endpoint.optional().describe("The cluster's DCGM exporter: <headless service>.<namespace>:<port>"),
      resources: resources({ cpu: 0.1, memoryMebibytes: 512 }, { cpu: 1, memoryMebibytes: 1024 }, 256),
    })
    .prefault({}),
  grafana: z
    .strictObject({
      access: grafanaAccess.default({ by: 'port-forward' }),
      resources: resources({ cpu: 0.05, memoryMebibytes: 256 }, { cpu: 1, memoryMebibytes: 512 }, 256),
    })
    .prefault({}),
  alertmanager: alertmanager.default({ source: 'none' }),
});

const operatorStack = z.strictObject({
  mode: z.literal('operator').describe('Objects for a Prometheus Operator and a Grafana that the cluster has'),
  namespace: dnsLabel.default('monitoring').describe('Where its Prometheus runs'),
  prometheusService: dnsLabel.default('kube-prometheus-stack-prometheus').describe("Its Prometheus' Service, for orfeas status and open"),
  grafanaService: dnsLabel.default('kube-prometheus-stack-grafana').describe("Its Grafana's Service, for orfeas open"),
  labels: z
    .record(z.string(), z.string())
    .default({ release: 'kube-prometheus-stack' })
    .describe('Labels by which it selects monitors and rules'),
  dashboardLabels: z
    .record(z.string(), z.string())
    .default({ grafana_dashboard: '1' })
    .describe("Labels by which Grafana's sidecar finds dashboards"),
});

const monitoring = z
  .strictObject({
    metrics: z.boolean().default(true).describe('Serve /metrics, and deploy what watches them'),
    scrapeIntervalSeconds: count.max(60).default(15).describe('How often each target is asked'),
    scrapeTimeoutSeconds: count.default(10).describe('A target that takes longer counts as down'),
    runbooks: z
      .url({ protocol: /^https?$/, message: 'not a URL: write it like https://docs.example.org/runbooks' })
      .default('https://docs.example.com/orfeas/runbooks')
      .describe('Where docs/runbooks is published; alerts link to <runbooks>/<alert>.md'),
    serviceLevel,
    exporter: resources({ cpu: 0.01, memoryMebibytes: 32 }, { cpu: 0.2, memoryMebibytes: 96 }, 16),
    stack: z.discriminatedUnion('mode', [bundledStack, operatorStack]).prefault({ mode: 'bundled' }),
  })
  .prefault({});

const websocket = z
  .strictObject({
    enabled: z.boolean().default(true).describe('Serve Socket.IO; clients ask for the job status without it'),
    pingTimeoutSeconds: count.default(60).describe('A client that does not answer a ping for so long is dropped'),
    pingIntervalSeconds: count.default(30).describe('How often a client is asked'),
    maxMessageMebibytes: count.default(10).describe('Largest message'),
    idleDays: count.default(7).describe('How long web keeps a silent connection open'),
  })
  .prefault({});

const rateLimiting = z
  .strictObject({
    enabled: z.boolean().default(true).describe('Limit requests by client address, at the edge, in web and in the backend'),
    apiPerMinute: count.default(10).describe('Requests to /api/* a minute and client address; as many are served at once'),
    jobsPerHour: count.default(100).describe('Jobs that one client address may submit an hour'),
    generalPerSecond: count.default(100).describe('Requests to everything else a second and client address; as many are served at once'),
    connections: count
      .default(100)
      .describe('Requests of one client address under way at once in each pod of web, open WebSockets included; to /api/* apiPerMinute'),
  })
  .prefault({});

const cors = z
  .strictObject({
    enabled: z.boolean().default(true).describe('Answer cross-origin requests'),
    origins: z
      .array(z.union([z.literal('*'), z.url({ protocol: /^https?$/, message: 'not an origin: write it like https://app.example.org' })]))
      .default([])
      .describe("Other sites that may call the API from a browser; the studio's own always may"),
    allowCredentials: z.boolean().default(true).describe('Let those sites send cookies'),
  })
  .prefault({});

const redis = z
  .strictObject({
    database: z.int().min(0).max(15).default(0).describe('Number of the database'),
    maxMemoryMebibytes: mebibytes.default(2048).describe('Memory for data in MiB; beyond it keys with an expiry are evicted'),
    evictionPolicy: z
      .enum([
        'noeviction',
        'volatile-lru',
        'volatile-lfu',
        'volatile-ttl',
        'volatile-random',
        'allkeys-lru',
        'allkeys-lfu',
        'allkeys-random',
      ])
      .default('volatile-lru')
      .describe('Redis maxmemory-policy; one that evicts any key would lose queued jobs and is refused'),
    jobRetentionDays: count.default(7).describe('How long the record of a finished job is kept'),
    resources: resources({ cpu: 0.1, memoryMebibytes: 2048 }, { cpu: 1, memoryMebibytes: 3072 }, 256),
  })
  .prefault({});

const security = z
  .strictObject({
    headers: z.boolean().default(true).describe('Send the security headers'),
    hstsSeconds: z.int().min(0).default(31_536_000).describe('Strict-Transport-Security max-age'),
    csrf: z.boolean().default(true).describe('Refuse changes that another site asks for'),
    apiKeysSecret: dnsLabel
      .optional()
      .describe('Secret with the SHA-256 of each API key in hex, under the name of its owner; when set, /api/* needs a key'),
    sessionCookie: z
      .strictObject({
        secure: z.boolean().default(true).describe('Send the session cookie over HTTPS alone'),
        httpOnly: z.boolean().default(true).describe('Hide the session cookie from scripts'),
        sameSite: z.enum(['Strict', 'Lax', 'None']).default('Lax').describe('When other sites may have the session cookie sent'),
      })
      .prefault({}),
  })
  .prefault({});

const server = z.url({ protocol: /^https?$/, message: 'not a URL: write it like https://backup.example.org' });

const addresses = z
  .array(cidr)
  .min(1)
  .optional()
  .describe('Its addresses; needed unless it is a Service of the cluster, or public and reached over HTTPS at port 443');

const repository = z.discriminatedUnion('at', [
  z.strictObject({ at: z.literal('claim').describe('The claim backups of the cluster') }).describe('The claim backups'),
  z
    .strictObject({
      at: z.literal('s3').describe('A bucket of an S3-compatible store'),
      endpoint: server
        .refine(url => !URL.canParse(url) || new URL(url).pathname === '/', 'an endpoint with a path: name the bucket in bucket')
        .describe('The store, such as https://s3.example.org, or http://<service>.<namespace>.svc:<port of its pods> within the cluster'),
      bucket: z
        .string()
        .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, 'not the name of a bucket: use lower-case letters, digits, dots and hyphens')
        .describe('The bucket, which exists already'),
      path: z
        .string()
        .regex(/^([\w.-]+(\/[\w.-]+)*)?$/, 'not a path in a bucket: write it like studio/backups')
        .default('')
        .describe('Folder in the bucket'),
      credentialsSecret: dnsLabel.describe('Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY'),
      addresses,
    })
    .describe('An S3-compatible store'),
  z
    .strictObject({
      at: z.literal('rest').describe("restic's rest-server"),
      url: server.describe('Such as https://backup.example.org/studio/, or http://<service>.<namespace>.svc:<port of its pods>/'),
      credentialsSecret: dnsLabel.optional().describe('Secret of type kubernetes.io/basic-auth with username and password'),
      addresses,
    })
    .describe("restic's rest-server"),
  z
    .strictObject({
      at: z.literal('sftp').describe('A folder on a server that is reached over SSH'),
      host: hostname.describe('The server, or <service>.<namespace>.svc within the cluster'),
      port: count.max(65_535).default(22).describe('Its port'),
      user: z
        .string()
        .regex(/^[a-z_][a-z0-9_.-]*$/i, 'not the name of a user: use letters, digits, dots, hyphens and underscores')
        .describe('Who logs in'),
      path: z
        .string()
        .regex(/^(\/[\w.-]+)+$/, 'not an absolute path: write it like /srv/backups/studio')
        .describe('Folder on the server'),
      keySecret: dnsLabel.describe('Secret with ssh-privatekey and known_hosts'),
      addresses,
    })
    .describe('A server with SFTP'),
]);

const backup = z
  .strictObject({
    enabled: z.boolean().default(true).describe('Make backups'),
    schedule: cron.default('0 3 * * *').describe('Cron schedule'),
    timeZone: timeZone.default('Etc/UTC').describe('Time zone of the schedules, as the IANA database has it'),
    retentionDays: count.default(30).describe('How long backups are kept; the last one always is'),
    models: z.boolean().default(true).describe('Take the model caches, which can be downloaded again'),
    monitoring: z.boolean().default(true).describe('Take the data of a bundled Prometheus and Grafana'),
    readFrom: z
      .enum(['volumes', 'clones'])
      .default('volumes')
      .describe("clones are copies that the storage class's CSI driver makes (CSI volume cloning); the backup then runs on any node"),
    secrets: z.boolean().default(false).describe("Take the studio's Secrets; whoever has the password of the backups can read them then"),
    verify: z
      .strictObject({
        schedule: cron.default('0 5 * * 0').describe('Cron schedule of the verification'),
        dataPercent: z.number().min(1).max(100).default(5).describe('Share of the repository that each one reads back, in percent'),
      })
      .prefault({}),
    repository: repository.default({ at: 'claim' }),
    resources: z
      .strictObject({
        requests: quantities.default({ cpu: 0.1, memoryMebibytes: 256 }).describe('What the scheduler sets aside for the container'),
        limits: quantities.default({ cpu: 2, memoryMebibytes: 1024 }).describe('What the container may use at most'),
      })
      .prefault({}),
  })
  .prefault({});

const features = z
  .strictObject({
    imageTo3d: z.boolean().default(true).describe('POST /api/generate-3d'),
    texture: z.boolean().default(true).describe('Colour the mesh'),
    backgroundRemoval: z.boolean().default(true).describe('Cut the subject out of its background'),
    qualityValidation: z.boolean().default(true).describe('Fail a job whose mesh is not watertight'),
  })
  .prefault({});

const rtx = z
  .strictObject({
    enabled: z.boolean().default(true).describe('Switch for all RTX optimizations'),
    tensorCores: z.boolean().default(true).describe('TF32 matrix products'),
    mixedPrecision: z.boolean().default(true).describe('Half-precision weights'),
    cudaGraphs: z.boolean().default(true).describe('Capture CUDA graphs'),
  })
  .prefault({});

/** A registry, with the path below which images are. */
export const registry = z
  .string()
  .regex(/^[a-z0-9.-]+(:\d+)?(\/[a-z0-9._-]+)*$/, 'not a registry: write it like registry.example.org/orfeas');

const images = z.strictObject({
  registry: registry.describe('Where our own images are: <registry>/<name>:<version>'),
  version: z
    .string()
    .regex(/^[\w][\w.-]{0,127}$/, 'not an image tag: use letters, digits, dots, hyphens and underscores, 128 characters at most')
    .refine(tag => tag !== 'latest', 'latest says nothing about what runs: name a version')
    .describe('Tag of our own images'),
  pullPolicy: z
    .enum(['Always', 'IfNotPresent', 'Never'])
    .default('Always')
    .describe(
      "When nodes ask the registry for an image: Always lets no pod use another's image without its pull secret; what a node has is not fetched again",
    ),
  pullSecrets: z.array(dnsLabel).default([]).describe('Secrets with the credentials of the registry'),
  mirror: registry
    .optional()
    .describe("Private registry that pods take every image from, others' and our own; `orfeas images mirror` fills it"),
  platforms: z
    .array(z.string().regex(/^[a-z0-9]+\/[a-z0-9]+(\/[a-z0-9]+)?$/, 'not a platform: write it like linux/amd64'))
    .min(1)
    .default(['linux/amd64'])
    .describe('Platforms of the nodes, which `orfeas images check` looks for in every image'),
  pin: z
    .enum(['tag', 'digest'])
    .default('digest')
    .describe(
      'How images are named: by digest, those that config/images.lock.json has; a cluster that loads images itself knows no digests',
    ),
});

const backend = z
  .strictObject({
    replicas: count.default(1).describe('Pods of the backend, each with its GPUs'),
    startupSeconds: count.optional().describe('Time for the model to load before the pod is restarted; derived from the model when absent'),
    drainSeconds: count.optional().describe('Time for jobs to finish on a stop; derived from the longest job when absent'),
    api: resources({ cpu: 0.25, memoryMebibytes: 1536 }, { cpu: 4, memoryMebibytes: 2048 }, 2048),
    worker: resources({ cpu: 0.5, memoryMebibytes: 6144 }, { cpu: 4, memoryMebibytes: 9216 }, 4096),
    realtime: resources({ cpu: 0.1, memoryMebibytes: 512 }, { cpu: 1, memoryMebibytes: 1024 }, 256),
    sharedMemoryMebibytes: mebibytes.default(1024).describe('/dev/shm, counted as memory of the containers'),
    extraEnvironment: z
      .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'not the name of an environment variable'), z.string())
      .default({})
      .describe('Further environment variables of the backend, without secrets'),
  })
  .prefault({});

const web = z
  .strictObject({
    replicas: count.default(2).describe('Pods of web'),
    resources: resources({ cpu: 0.1, memoryMebibytes: 256 }, { cpu: 1, memoryMebibytes: 512 }, 1024),
    trustedProxies: z
      .array(cidr)
      .min(1)
      .default(['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fd00::/8'])
      .describe("Addresses of the edge, whose X-Forwarded-For tells the client's"),
  })
  .prefault({});

const storage = z
  .strictObject({
    huggingfaceCache: claim(10).describe('HF_HOME: the model, about 8 GB'),
    hy3dgenCache: claim(10).describe("hy3dgen's own cache"),
    outputs: claim(20).describe('Finished models, pictures of queued jobs, and logs'),
    redisData: claim(5).describe('Job queue'),
    prometheusData: claim(10).describe('Metrics of 30 days'),
    grafanaData: claim(2).describe("Grafana's database"),
    alertmanagerData: claim(1).describe('Silences, of a bundled Alertmanager alone'),
    backups: claim(50).describe('Backups, where backup.repository is the claim; one pod at a time uses it'),
  })
  .prefault({});

const dnsProvider = z.discriminatedUnion('name', [
  z.strictObject({
    name: z.literal('cloudflare').describe('Cloudflare'),
    tokenSecret: dnsLabel.describe('Secret with api-token, which may edit the zone'),
  }),
  z.strictObject({
    name: z.literal('route53').describe('Amazon Route 53'),
    region: z
      .string()
      .regex(/^[a-z]{2}(-[a-z]+)+-\d$/, 'not a region: write it like eu-central-1')
      .describe('Region of AWS'),
    hostedZoneId: z
      .string()
      .regex(/^[A-Z0-9]{1,32}$/, 'not the id of a hosted zone: write it like Z2E9THH8H2QRUN')
      .optional()
      .describe('Zone; looked up by the name when absent'),
    credentialsSecret: dnsLabel
      .optional()
      .describe("Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; cert-manager's own role when absent"),
  }),
  z.strictObject({
    name: z.literal('rfc2136').describe('A name server that takes dynamic updates, such as BIND or Knot'),
    nameserver: z
      .string()
      .regex(/^([0-9.]+|\[[0-9a-f:.]+\]|[a-z0-9.-]+)(:\d{1,5})?$/, 'not a name server: write it like 192.0.2.53:53')
      .describe('Its address, and its port where it is not 53'),
    keyName: z
      .string()
      .regex(/^[a-z0-9._-]+$/i, 'not the name of a key: use letters, digits, dots, hyphens and underscores')
      .describe('Name of the TSIG key'),
    keySecret: dnsLabel.describe('Secret with tsig-secret, the key'),
    algorithm: z.enum(['HMACSHA256', 'HMACSHA512']).default('HMACSHA256').describe('Algorithm of the key'),
  }),
]);

const challenge = z.discriminatedUnion('by', [
  z.strictObject({ by: z.literal('http-01').describe("Let's Encrypt asks the host over HTTP, at port 80 from the internet") }),
  z.strictObject({ by: z.literal('dns-01').describe("Let's Encrypt looks for a record of the host in DNS"), provider: dnsProvider }),
]);

const certificate = z.discriminatedUnion('source', [
  z.strictObject({ source: z.literal('secret').describe('The Secret orfeas-tls holds it, made by `orfeas tls` or by you') }),
  z.strictObject({ source: z.literal('self-signed').describe('cert-manager makes one that nobody else vouches for, for 365 days') }),
  z.strictObject({
    source: z.literal('private-ca').describe('cert-manager signs it with an authority of your own, for 365 days'),
    caSecret: dnsLabel.describe("Secret of type kubernetes.io/tls with the authority's certificate and key"),
  }),
  z.strictObject({
    source: z.literal('lets-encrypt').describe("cert-manager gets it from Let's Encrypt"),
    email: z.email('not an address: write it like name@example.org').describe("Where Let's Encrypt writes before a certificate expires"),
    server: z
      .enum(['production', 'staging'])
      .default('production')
      .describe('staging issues certificates that only tests trust, without strict limits'),
    challenge: challenge.default({ by: 'http-01' }),
  }),
]);

const remoteKey = z.string().min(1).optional();

const secrets = z.discriminatedUnion('mode', [
  z.strictObject({ mode: z.literal('cli').describe('`orfeas secrets` and `orfeas deploy` make the Secrets, or you do') }),
  z.strictObject({
    mode: z.literal('external-secrets').describe('The External Secrets Operator copies them from a store'),
    store: z.strictObject({
      kind: z.enum(['ClusterSecretStore', 'SecretStore']).default('ClusterSecretStore').describe('Kind of the store'),
      name: dnsLabel.describe('Name of the store, which is yours to make'),
    }),
    remoteKeys: z
      .strictObject({
        app: remoteKey.describe("Key in the store of what orfeas-app has; the namespace, a slash and the Secret's name when absent"),
        redis: remoteKey.describe('The same of orfeas-redis'),
        grafana: remoteKey.describe('The same of orfeas-grafana'),
        backup: remoteKey.describe('The same of orfeas-backup'),
      })
      .prefault({}),
    refreshMinutes: z.int().min(1).default(5).describe('How often the store is looked at'),
  }),
  z.strictObject({
    mode: z
      .literal('sealed-secrets')
      .describe('Encrypted in files/sealed-secrets by `orfeas secrets seal`; only the controller of the cluster decrypts them'),
  }),
]);

const network = z
  .strictObject({
    apiServer: z
      .array(cidr)
      .min(1)
      .default(['0.0.0.0/0', '::/0'])
      .describe("Addresses of the cluster's API server, which Prometheus and the backup ask at port 443 or 6443"),
  })
  .prefault({});

const gitops = z
  .strictObject({
    repository: z
      .string()
      .regex(
        /^((https?|git):\/\/[^\s@]+|ssh:\/\/[^\s@:]+@[^\s@]+|[^\s@:/]+@[^\s@:]+:[^\s@]+)$/,
        'not a git repository: write it like https://git.example.org/studio.git or git@git.example.org:studio.git, without a password',
      )
      .default('https://git.example.com/orfeas/studio.git')
      .describe('Git repository with `dist/`, as Argo CD reaches it'),
    revision: z
      .string()
      .regex(/^[^\s:~^?*[\\]+$/, 'not a revision: name a branch, a tag or a commit')
      .default('main')
      .describe('Branch that is deployed, a tag or a commit'),
    namespace: dnsLabel.default('argocd').describe('Namespace of Argo CD'),
  })
  .prefault({});

interface Controller {
  readonly title: string;
  /** Names that its own guide gives. */
  readonly className: string;
  readonly namespace: string;
}

const ofAnyController = (kind: 'IngressClass' | 'GatewayClass', { title, className, namespace }: Controller) => ({
  className: dnsLabel.default(className).describe(`${kind} of ${title}`),
  namespaces: z.array(dnsLabel).min(1).default([namespace]).describe(`Namespaces that ${title} may run in: nothing else reaches web`),
  certificate: certificate.default({ source: 'secret' }),
});

const ingress = <Dialect extends string>(dialect: Dialect, controller: Controller) =>
  z.strictObject({
    dialect: z.literal(dialect).describe(`Ingresses for ${controller.title}`),
    ...ofAnyController('IngressClass', controller),
  });

const gateway = <Implementation extends string>(implementation: Implementation, policies: string, controller: Controller) =>
  z.strictObject({
    dialect: z.literal('gateway-api').describe('A Gateway and HTTPRoutes'),
    implementation: z.literal(implementation).describe(policies),
    ...ofAnyController('GatewayClass', controller),
  });

const port = count.max(65_535);

const traefik: Controller = { title: 'Traefik', className: 'traefik', namespace: 'traefik' };
const ingressNginx: Controller = { title: "Kubernetes' ingress-nginx", className: 'nginx', namespace: 'ingress-nginx' };
const f5Nginx: Controller = { title: "F5's NGINX Ingress Controller", className: 'nginx', namespace: 'nginx-ingress' };
const haproxy: Controller = { title: "HAProxy Technologies' controller", className: 'haproxy', namespace: 'haproxy-controller' };
const envoyGateway: Controller = { title: 'Envoy Gateway', className: 'eg', namespace: 'envoy-gateway-system' };
const nginxGatewayFabric: Controller = { title: 'NGINX Gateway Fabric', className: 'nginx', namespace: 'nginx-gateway' };

const gatewayApi = z.discriminatedUnion('implementation', [
  gateway('traefik', 'With Middlewares and a TraefikService', traefik).extend({
    ports: z
      .strictObject({
        http: port.default(8000).describe("Port of Traefik's entry point for HTTP"),
        https: port.default(8443).describe("Port of Traefik's entry point for HTTPS"),
      })
      .prefault({}),
  }),
  gateway('envoy-gateway', 'With a ClientTrafficPolicy and BackendTrafficPolicies', envoyGateway),
  gateway(
    'nginx-gateway-fabric',
    "With policies of version 2.6 or newer, which runs its nginx in the studio's namespace",
    nginxGatewayFabric,
  ),
]);

const edge = z
  .discriminatedUnion('dialect', [
    ingress('traefik', traefik),
    ingress('ingress-nginx', ingressNginx),
    ingress('nginx', f5Nginx),
    ingress('haproxy', haproxy),
    gatewayApi,
  ])
  .prefault({ dialect: 'traefik' });

export const environmentNames = ['local', 'staging', 'production'] as const;
export type EnvironmentName = (typeof environmentNames)[number];

export const schema = z.strictObject({
  environment: z.enum(environmentNames).describe("The file's own name"),
  // The backup's pods have host names of it and their own.
  namespace: dnsLabel.max(45).describe('Namespace of all objects, 45 characters at most'),
  host: hostname.describe('Name under which people reach the studio'),
  flask,
  gpu,
  model,
  performance,
  uploads,
  logging,
  monitoring,
  websocket,
  rateLimiting,
  cors,
  redis,
  security,
  secrets: secrets.prefault({ mode: 'cli' }),
  backup,
  features,
  rtx,
  images,
  backend,
  web,
  storage,
  network,
  edge,
  gitops,
});

export interface Quantities {
  readonly cpu: number;
  readonly memoryMebibytes: number;
}

/** What a person writes: defaults may be left out. */
export type SettingsInput = z.input<typeof schema>;
/** The whole tree, checked. */
export type Settings = z.output<typeof schema>;
export type ContainerResources = Settings['backend']['api'];
export type ClaimSettings = Settings['storage']['outputs'];
export type RepositorySettings = Settings['backup']['repository'];
export type BundledStack = z.output<typeof bundledStack>;
export type OperatorStack = z.output<typeof operatorStack>;
export type CertificateSettings = Settings['edge']['certificate'];
export type LetsEncryptSettings = Extract<CertificateSettings, { source: 'lets-encrypt' }>;
export type DnsProvider = z.infer<typeof dnsProvider>;
