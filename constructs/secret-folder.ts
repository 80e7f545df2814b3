import type { k8s } from 'cdk8s-plus-28';

/** The pod's group reads it; the kubelet gives it to the `fsGroup`. */
export const GROUP_READABLE = 0o440;
/** For pods whose processes are of several users and share no group. */
export const POD_READABLE = 0o444;

export interface SecretFolderProps {
  readonly secret: string;
  /** Path of each key's file; all keys under their own names when absent. */
  readonly items?: Readonly<Record<string, string>>;
  readonly mountPath: string;
  readonly mode?: number;
}

/** A Secret as files, which show a changed value without a restart. */
export interface SecretFolder {
  readonly volume: k8s.Volume;
  readonly mount: k8s.VolumeMount;
}

export function secretFolder({ secret, items, mountPath, mode = GROUP_READABLE }: SecretFolderProps): SecretFolder {
  return {
    volume: {
      name: secret,
      secret: {
        secretName: secret,
        defaultMode: mode,
        ...(items && { items: Object.entries(items).map(([key, path]) => ({ key, path })) }),
      },
    },
    mount: { name: secret, mountPath, readOnly: true },
  };
}
