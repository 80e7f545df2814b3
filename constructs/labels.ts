/** What a workload is called, and what it runs. */
export interface Identity {
  readonly name: string;
  readonly component: string;
  readonly version: string;
}

export type Labels = Readonly<Record<string, string>>;

/** Labels of all objects of one studio. */
export const studioLabels = (instance: string): Labels => ({
  'app.kubernetes.io/instance': instance,
  'app.kubernetes.io/part-of': 'orfeas',
  'app.kubernetes.io/managed-by': 'cdk8s',
});

/** Labels that identify a workload's pods. Selectors are immutable, so nothing that changes belongs here. */
export const selectorLabels = (instance: string, name: string): Labels => ({
  'app.kubernetes.io/name': name,
  'app.kubernetes.io/instance': instance,
});

/** Labels of a workload's objects. */
export const workloadLabels = ({ name, component, version }: Identity): Labels => ({
  'app.kubernetes.io/name': name,
  'app.kubernetes.io/component': component,
  'app.kubernetes.io/version': version,
});

/** Labels of a workload's pods, which get none from their chart. */
export const podLabels = (instance: string, identity: Identity): Labels => ({ ...studioLabels(instance), ...workloadLabels(identity) });
