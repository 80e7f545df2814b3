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

/** Secret of type kubernetes.io/tls, by `orfeas tls`, cert-manager or the operator. */
export const TLS_SECRET = 'orfeas-tls';
