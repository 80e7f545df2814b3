import type { k8s } from 'cdk8s-plus-28';
import type { ContainerResources } from '../config/schema';
import type { Labels } from './labels';

/** A port of a workload's pods that serves Prometheus text at /metrics. */
export interface MetricsPort {
  readonly name: string;
  readonly number: number;
}

/** What others need to know of a workload: where it listens, and what it takes. */
export interface Workload {
  readonly name: string;
  /** Labels that select its pods. */
  readonly selector: Labels;
  readonly footprint: Footprint;
  /** Where Prometheus asks its pods; nowhere when monitoring is off. */
  readonly metrics: readonly MetricsPort[];
}

/** What the pods of a workload take at most at one time. */
export interface Footprint {
  /** Pods, the one that a rolling update adds included. */
  readonly pods: number;
  readonly containers: readonly ContainerResources[];
  /** GPUs of one pod. */
  readonly gpus: number;
}

export const pullSecrets = (names: readonly string[]): Pick<k8s.PodSpec, 'imagePullSecrets'> =>
  names.length > 0 ? { imagePullSecrets: names.map(name => ({ name })) } : {};

/** Pods of one workload on different nodes where there are several. */
export const spread = (selector: Labels): Pick<k8s.PodSpec, 'affinity'> => ({
  affinity: {
    podAntiAffinity: {
      preferredDuringSchedulingIgnoredDuringExecution: [
        { weight: 100, podAffinityTerm: { topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { ...selector } } } },
      ],
    },
  },
});
