import { buildApp } from '../app';
import type { Settings } from '../config';
import { render } from '../synth';
import type { KubernetesObject } from './objects';

/** Objects of one chart. */
export interface Manifest {
  /** Such as `00-namespace`. */
  readonly chart: string;
  readonly objects: readonly KubernetesObject[];
}

/** What `cdk8s synth` writes for the environment, in the order of applying. */
export const manifests = (settings: Settings): Manifest[] =>
  [...render(buildApp(settings))]
    .map(([chart, objects]) => ({ chart, objects: objects as KubernetesObject[] }))
    .sort((a, b) => a.chart.localeCompare(b.chart));
