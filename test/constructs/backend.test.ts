import * as derive from '../../config/derive';
import { find, manifestsOf, settingsOf } from '../support';

const deploymentOf = (...args: Parameters<typeof settingsOf>) => find(manifestsOf(settingsOf(...args)), 'Deployment', 'backend').spec;
const podOf = (...args: Parameters<typeof settingsOf>) => deploymentOf(...args).template.spec;
// biome-ignore lint/suspicious/noExplicitAny: a rendered container
const containerOf = (pod: any, name: string) => pod.containers.find((container: { name: string }) => container.name === name);
const environmentOf = (...args: Parameters<typeof settingsOf>) => find(manifestsOf(settingsOf(...args)), 'ConfigMap', 'backend-env').data;

describe('the GPU', () => {
  test.each(['staging', 'production'] as const)('%s asks for one, in the worker alone', name => {
    const pod = podOf(name);
    expect(containerOf(pod, 'worker').resources.limits['nvidia.com/gpu']).toBe('1');
    expect(containerOf(pod, 'api').resources.limits).not.toHaveProperty('nvidia.com/gpu');
    expect(containerOf(pod, 'realtime').resources.limits).not.toHaveProperty('nvidia.com/gpu');
  });
  test('local asks for none', () => {
    expect(JSON.stringify(podOf('local'))).not.toContain('nvidia.com/gpu');
  });
  test('it may have another name, such as a MIG slice', () => {
    const pod = podOf('production', { gpu: { resourceName: 'nvidia.com/mig-1g.10gb' } });
    expect(containerOf(pod, 'worker').resources.limits['nvidia.com/mig-1g.10gb']).toBe('1');
  });
  test('nodes, taints and the runtime class are as the settings say', () => {
    const pod = podOf('production', { gpu: { runtimeClass: 'nvidia', nodeSelector: { 'nvidia.com/gpu.present': 'true' } } });
    expect(pod).toMatchObject({
      runtimeClassName: 'nvidia',
      nodeSelector: { 'nvidia.com/gpu.present': 'true' },
      tolerations: [{ key: 'nvidia.com/gpu', operator: 'Exists', effect: 'NoSchedule' }],
    });
  });
});

describe('a rollout', () => {
  test('with one GPU, the old pod goes first', () => {
    expect(deploymentOf('production').strategy).toEqual({ type: 'Recreate' });
  });
  test('with a spare GPU and shared volumes, the new pod comes first', () => {
    const shared = { accessMode: 'ReadWriteMany' } as const;
    const { strategy } = deploymentOf('production', {
      gpu: { available: 2 },
      storage: { outputs: shared, huggingfaceCache: shared, hy3dgenCache: shared },
    });
    expect(strategy).toEqual({ type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } });
  });
  test('it has time for the drain and the load of the model', () => {
    const settings = settingsOf('production');
    const { progressDeadlineSeconds, template } = find(manifestsOf(settings), 'Deployment', 'backend').spec;
    const { periodSeconds, failureThreshold } = containerOf(template.spec, 'worker').startupProbe;
    expect(template.spec.terminationGracePeriodSeconds).toBeGreaterThan(settings.model.jobTimeoutSeconds);
    expect(periodSeconds * failureThreshold).toBeGreaterThanOrEqual(derive.startupSeconds(settings));
    expect(progressDeadlineSeconds).toBeGreaterThan(template.spec.terminationGracePeriodSeconds + periodSeconds * failureThreshold);
  });
  test('a changed setting rolls the pods, and one of the backup alone does not', () => {
    const sum = (...args: Parameters<typeof settingsOf>) => deploymentOf(...args).template.metadata.annotations['checksum/config'];
    expect(sum('production', { uploads: { maxMebibytes: 20 } })).not.toBe(sum('production'));
    expect(sum('production', { backup: { retentionDays: 7 } })).toBe(sum('production'));
  });
});

describe('the environment', () => {
  test('all fifteen sections are there', () => {
    expect(Object.keys(environmentOf('production'))).toEqual(
      expect.arrayContaining([
        'FLASK_ENV',
        'GPU_MEMORY_LIMIT',
        'HUNYUAN3D_PATH',
        'XFORMERS_DISABLED',
        'MAX_FILE_SIZE',
        'LOG_FORMAT',
        'METRICS_ENABLED',
        'WEBSOCKET_PING_TIMEOUT',
        'RATE_LIMIT_PER_MINUTE',
        'CORS_ORIGINS',
        'REDIS_HOST',
        'CSRF_ENABLED',
        'BACKUP_RETENTION_DAYS',
        'IMAGE_TO_3D_ENABLED',
        'TENSOR_CORES_ENABLED',
      ]),
    );
  });
  test("an operator's own variables are added", () => {
    expect(environmentOf('production', { backend: { extraEnvironment: { OMP_NUM_THREADS: '4' } } }).OMP_NUM_THREADS).toBe('4');
  });
  test('secrets come by reference', () => {
    for (const container of podOf('production').containers) {
      for (const { name, value, valueFrom } of container.env) {
        if (/SECRET|PASSWORD/.test(name))
          expect({ value, from: Object.keys(valueFrom) }).toEqual({ value: undefined, from: ['secretKeyRef'] });
      }
    }
  });
  test('keys of the API come as files of a Secret, where the settings name one', () => {
    const named = { security: { apiKeysSecret: 'studio-keys' } };
    const { volumes, containers } = podOf('production', named);
    expect(volumes).toContainEqual({ name: 'studio-keys', secret: { secretName: 'studio-keys', defaultMode: 0o440 } });
    for (const { name, volumeMounts } of containers) {
      const mounted = volumeMounts.some((mount: { name: string }) => mount.name === 'studio-keys');
      expect({ name, mounted }).toEqual({ name, mounted: name === 'api' });
    }
    expect(environmentOf('production', named).API_KEYS_DIR).toBe('/etc/orfeas-api-keys');
    expect(environmentOf('production')).not.toHaveProperty('API_KEYS_DIR');
  });
  test('the caches are mounted where the variables point', () => {
    const { HF_HOME, HY3DGEN_MODELS } = environmentOf('production');
    const mounts = containerOf(podOf('production'), 'worker').volumeMounts;
    expect(mounts).toEqual(
      expect.arrayContaining([
        { name: 'huggingface-cache', mountPath: HF_HOME },
        { name: 'hy3dgen-cache', mountPath: HY3DGEN_MODELS },
      ]),
    );
  });
});
