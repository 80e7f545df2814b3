import * as derive from '../config/derive';
import type { Settings } from '../config/schema';
import { secrets } from '../config/secrets';
import type { Redis } from './redis';

const flag = (value: boolean): string => (value ? '1' : '0');
const MEBIBYTE = 2 ** 20;
const DAY_SECONDS = 86_400;

/** Where images/backend keeps things. */
export const paths = {
  outputs: '/app/outputs',
  uploads: '/app/uploads',
  logs: '/app/logs',
  run: '/run/orfeas',
  certificate: '/etc/orfeas-tls',
  app: '/etc/orfeas-app',
  apiKeys: '/etc/orfeas-api-keys',
  huggingfaceCache: '/app/models/huggingface',
  hy3dgenCache: '/app/models/hy3dgen',
} as const;

/** The fifteen sections as the environment of the backend's containers. Secrets are files. */
export function backendEnvironment(settings: Settings, redis: Redis): Record<string, string> {
  const { flask, gpu, model, performance, uploads, logging, monitoring, websocket, rateLimiting, cors, security, backup, features, rtx } =
    settings;
  const values: Record<string, string | number> = {
    FLASK_ENV: 'production',
    DEBUG: flag(flask.debug),
    SECRET_KEY_FILE: `${paths.app}/${secrets.app.key}`,
    TESTING: flag(false),

    DEVICE: gpu.device,
    GPU_MEMORY_LIMIT: gpu.memoryFraction,
    MAX_CONCURRENT_JOBS: gpu.concurrentJobs,

    MODEL_ENGINE: model.engine,
    HUNYUAN3D_PATH: model.hunyuan3dPath,
    HF_HOME: paths.huggingfaceCache,
    HY3DGEN_MODELS: paths.hy3dgenCache,
    HF_HUB_OFFLINE: flag(model.offline),
    DEFAULT_STEPS: model.steps.default,
    MIN_STEPS: model.steps.min,
    MAX_STEPS: model.steps.max,
    JOB_TIMEOUT_SECONDS: model.jobTimeoutSeconds,
    DRAIN_SECONDS: derive.drainSeconds(settings),

    XFORMERS_DISABLED: flag(!performance.xformers),
    TORCH_CUDNN_V8_API_ENABLED: flag(performance.cudnnV8Api),
    CUDA_LAUNCH_BLOCKING: flag(performance.cudaLaunchBlocking),
    GUNICORN_WORKERS: derive.workers(settings),
    GUNICORN_TIMEOUT: performance.gunicorn.timeoutSeconds,
    GUNICORN_GRACEFUL_TIMEOUT: performance.gunicorn.gracefulTimeoutSeconds,
    GUNICORN_MAX_REQUESTS: performance.gunicorn.maxRequests,
    GUNICORN_KEEPALIVE: performance.gunicorn.keepAliveSeconds,

    OUTPUT_DIR: paths.outputs,
    UPLOAD_DIR: paths.uploads,
    MAX_FILE_SIZE: derive.maxFileBytes(settings),
    MAX_IMAGE_DIMENSION: uploads.maxSidePixels,

    LOG_LEVEL: logging.level,
    LOG_FORMAT: logging.format,
    LOG_DIR: paths.logs,
    LOG_MAX_BYTES: logging.fileMebibytes * MEBIBYTE,
    LOG_BACKUP_COUNT: logging.fileBackups,

    METRICS_ENABLED: flag(monitoring.metrics),
    PROMETHEUS_MULTIPROC_DIR: `${paths.run}/metrics`,
    TLS_CERTIFICATE: `${paths.certificate}/tls.crt`,

    WEBSOCKET_ENABLED: flag(websocket.enabled),
    WEBSOCKET_PING_TIMEOUT: websocket.pingTimeoutSeconds,
    WEBSOCKET_PING_INTERVAL: websocket.pingIntervalSeconds,
    WEBSOCKET_MAX_SIZE: websocket.maxMessageMebibytes * MEBIBYTE,

    RATE_LIMIT_ENABLED: flag(rateLimiting.enabled),
    RATE_LIMIT_PER_MINUTE: rateLimiting.apiPerMinute,
    RATE_LIMIT_PER_HOUR: rateLimiting.jobsPerHour,

    CORS_ENABLED: flag(cors.enabled),
    CORS_ORIGINS: [...new Set([`https://${settings.host}`, ...cors.origins])].join(','),
    CORS_ALLOW_CREDENTIALS: flag(cors.allowCredentials),

    REDIS_HOST: redis.host,
    REDIS_PORT: redis.port,
    REDIS_DB: settings.redis.database,
    REDIS_PASSWORD_FILE: redis.passwordFile,
    JOB_RETENTION_SECONDS: settings.redis.jobRetentionDays * DAY_SECONDS,

    SECURITY_HEADERS_ENABLED: flag(security.headers),
    ...(security.apiKeysSecret !== undefined && { API_KEYS_DIR: paths.apiKeys }),
    CSRF_ENABLED: flag(security.csrf),
    SESSION_COOKIE_SECURE: flag(security.sessionCookie.secure),
    SESSION_COOKIE_HTTPONLY: flag(security.sessionCookie.httpOnly),
    SESSION_COOKIE_SAMESITE: security.sessionCookie.sameSite,

    BACKUP_ENABLED: flag(backup.enabled),
    BACKUP_SCHEDULE: backup.schedule,
    BACKUP_RETENTION_DAYS: backup.retentionDays,

    IMAGE_TO_3D_ENABLED: flag(features.imageTo3d),
    TEXTURE_ENABLED: flag(features.texture),
    BACKGROUND_REMOVAL_ENABLED: flag(features.backgroundRemoval),
    QUALITY_VALIDATION_ENABLED: flag(features.qualityValidation),

    RTX_OPTIMIZATIONS_ENABLED: flag(rtx.enabled),
    TENSOR_CORES_ENABLED: flag(rtx.tensorCores),
    MIXED_PRECISION_ENABLED: flag(rtx.mixedPrecision),
    CUDA_GRAPHS_ENABLED: flag(rtx.cudaGraphs),
  };
  return Object.fromEntries(
    Object.entries({ ...values, ...settings.backend.extraEnvironment }).map(([name, value]) => [name, String(value)]),
  );
}
