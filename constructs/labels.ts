import { Chart } from 'cdk8s';
import type { Construct } from 'constructs';

/** What the objects of a chart are called, what part they play, and what they run. */
export interface Identity {
  readonly name: string;
  readonly component: string;
  readonly version: string;
}

export type Labels = Readonly<Record<string, string>>;

const NAME = 'app.kubernetes.io/name';
const INSTANCE = 'app.kubernetes.io/instance';

export const objectLabels = (instance: string, { name, component, version }: Identity): Labels => ({
  [NAME]: name,
  [INSTANCE]: instance,
  'app.kubernetes.io/component': component,
  'app.kubernetes.io/part-of': 'orfeas',
  'app.kubernetes.io/managed-by': 'cdk8s',
  'app.kubernetes.io/version': version,
});

/** Labels of pods: those of their chart, which gives them to objects alone. */
export const podLabels = (scope: Construct): Record<string, string> => ({ ...Chart.of(scope).labels });

/** The labels among them that identify a workload. Selectors are immutable, so nothing that changes belongs here. */
export function selectorLabels(scope: Construct): Labels {
  const { [NAME]: name, [INSTANCE]: instance } = Chart.of(scope).labels;
  if (name === undefined || instance === undefined) throw new Error(`${scope.node.path}: its chart has no ${NAME} or ${INSTANCE}`);
  return { [NAME]: name, [INSTANCE]: instance };
}
