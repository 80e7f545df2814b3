import { bundledStack } from './derive';
import type { Settings } from './schema';

/** A Secret that the operator makes outside of git; manifests only refer to it. */
export interface SecretReference {
  readonly name: string;
  readonly key: string;
  /** Length of the value that `orfeas secrets` makes. */
  readonly characters: number;
}

export const secrets = {
  app: { name: 'orfeas-app', key: 'SECRET_KEY', characters: 64 },
  redis: { name: 'orfeas-redis', key: 'password', characters: 32 },
  grafana: { name: 'orfeas-grafana', key: 'admin-password', characters: 32 },
  backup: { name: 'orfeas-backup', key: 'password', characters: 32 },
} as const satisfies Record<string, SecretReference>;

/** A Secret whose values only the operator knows. */
export interface OperatorSecret {
  readonly name: string;
  readonly keys: readonly string[];
  /** Setting that names it. */
  readonly path: string;
}

/** Secrets that settings name and `orfeas secrets` cannot make. */
export function operatorSecrets(settings: Settings): OperatorSecret[] {
  const stack = bundledStack(settings);
  if (stack === undefined) return [];
  const { alertmanager, prometheus } = stack;
  return [
    ...(alertmanager.source === 'bundled'
      ? [{ name: alertmanager.receiverSecret, keys: ['url'], path: 'monitoring.stack.alertmanager.receiverSecret' }]
      : []),
    ...prometheus.remoteWrite.flatMap(({ basicAuthSecret: name }, index) =>
      name === undefined
        ? []
        : [{ name, keys: ['username', 'password'], path: `monitoring.stack.prometheus.remoteWrite.${index}.basicAuthSecret` }],
    ),
  ];
}

/** Secret of type kubernetes.io/tls, by `orfeas tls`, cert-manager or the operator. */
export const TLS_SECRET = 'orfeas-tls';
