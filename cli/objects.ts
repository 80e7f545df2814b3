import type {
  CoreV1Event,
  V1CronJob,
  V1Deployment,
  V1Job,
  V1ObjectMeta,
  V1PersistentVolumeClaim,
  V1Pod,
  V1Secret,
  V1Service,
  V1StatefulSet,
} from '@kubernetes/client-node';

/** The client's type of an object as JSON carries it: times are strings. */
type Wire<T> = T extends Date ? string : T extends object ? { [Key in keyof T]: Wire<T[Key]> } : T;

export type Metadata = Wire<V1ObjectMeta> & { name: string };
type Live<T> = Omit<Wire<T>, 'metadata' | 'kind' | 'apiVersion'> & { metadata: Metadata; kind?: string; apiVersion?: string };

export type Pod = Live<V1Pod>;
export type Event = Live<CoreV1Event>;
export type Deployment = Live<V1Deployment>;
export type StatefulSet = Live<V1StatefulSet>;
export type CronJob = Live<V1CronJob>;
export type Job = Live<V1Job>;
export type Claim = Live<V1PersistentVolumeClaim>;
export type Secret = Live<V1Secret>;
export type Service = Live<V1Service>;

/** Any object, as a manifest writes it or the cluster returns it. */
export interface KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: Metadata;
  [field: string]: unknown;
}

/** How people name an object: `Deployment/backend`. */
export const title = ({ kind, metadata }: { kind?: string; metadata: Metadata }): string => `${kind}/${metadata.name}`;
