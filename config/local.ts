import type { SettingsInput } from './schema';

/** Any cluster on a laptop: no GPU, and at most 1 CPU and 3 GiB asked for in all. */
export const local: SettingsInput = {
  environment: 'local',
  namespace: 'orfeas-local',
  host: 'studio.localhost',
  gpu: { device: 'cpu', perPod: 0, available: 0, tolerations: [] },
  model: { engine: 'relief' },
  images: { registry: 'localhost/orfeas', version: '0.1.0', pin: 'tag', pullPolicy: 'IfNotPresent' },
  backend: {
    api: { requests: { cpu: 0.1, memoryMebibytes: 384 }, limits: { cpu: 1, memoryMebibytes: 768 } },
    worker: { requests: { cpu: 0.2, memoryMebibytes: 512 }, limits: { cpu: 2, memoryMebibytes: 2048 } },
    realtime: { requests: { cpu: 0.05, memoryMebibytes: 128 }, limits: { cpu: 1, memoryMebibytes: 256 } },
    sharedMemoryMebibytes: 64,
  },
  redis: {
    maxMemoryMebibytes: 256,
    resources: { requests: { cpu: 0.05, memoryMebibytes: 128 }, limits: { cpu: 1, memoryMebibytes: 384 } },
  },
  web: {
    replicas: 1,
    resources: { requests: { cpu: 0.2, memoryMebibytes: 64 }, limits: { cpu: 1, memoryMebibytes: 256 } },
  },
  monitoring: {
    exporter: { requests: { cpu: 0.01, memoryMebibytes: 24 }, limits: { cpu: 0.2, memoryMebibytes: 64 } },
    stack: {
      mode: 'bundled',
      prometheus: { resources: { requests: { cpu: 0.1, memoryMebibytes: 256 }, limits: { cpu: 1, memoryMebibytes: 512 } } },
      grafana: { resources: { requests: { cpu: 0.05, memoryMebibytes: 128 }, limits: { cpu: 1, memoryMebibytes: 512 } } },
    },
  },
  backup: { resources: { requests: { cpu: 0.01, memoryMebibytes: 128 }, limits: { cpu: 1, memoryMebibytes: 512 } } },
  storage: {
    huggingfaceCache: { gibibytes: 1 },
    hy3dgenCache: { gibibytes: 1 },
    outputs: { gibibytes: 2 },
    redisData: { gibibytes: 1 },
    prometheusData: { gibibytes: 4 },
    grafanaData: { gibibytes: 1 },
    backups: { gibibytes: 2 },
  },
  network: { apiServer: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'] },
  // Laptop clusters put their controller into different namespaces: k3d into kube-system, kind by its guide, others by name.
  edge: { dialect: 'traefik', namespaces: ['ingress', 'ingress-nginx', 'kube-system', 'traefik'] },
};
