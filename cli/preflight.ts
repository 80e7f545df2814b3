import { placeholders, type Settings } from '../config';
import { operatorSecrets } from '../config/secrets';
import { ApiError, type Cluster, type ResourceType } from './cluster';
import { CommandError } from './errors';
import type { Claim, KubernetesObject, Metadata, Secret } from './objects';

const MINIMUM = { major: 1, minor: 29 };

/** What is not as it must be, or could not be seen. */
export interface Finding {
  readonly severity: 'error' | 'warning';
  readonly message: string;
  readonly remedy: string;
}

const error = (message: string, remedy: string): Finding => ({ severity: 'error', message, remedy });
const warning = (message: string, remedy: string): Finding => ({ severity: 'warning', message, remedy });

export function placeholderFindings(settings: Settings): Finding[] {
  if (settings.environment === 'local') return [];
  return placeholders(settings).map(({ path, message }) =>
    error(`${path} is ${message}`, `give your own in config/${settings.environment}.ts`),
  );
}

/** Versions look like v1.34.1, v1.33.4-gke.1 or v1.32.5+k3s1. */
export function versionFindings(version: string): Finding[] {
  const [, major = '0', minor = '0'] = /^v?(\d+)\.(\d+)/.exec(version) ?? [];
  if (Number(major) > MINIMUM.major || (Number(major) === MINIMUM.major && Number(minor) >= MINIMUM.minor)) return [];
  return [error(`the cluster runs Kubernetes ${version}, which is too old`, `upgrade it to ${MINIMUM.major}.${MINIMUM.minor} or later`)];
}

const installs: Readonly<Record<string, string>> = {
  'gateway.envoyproxy.io': 'install Envoy Gateway, or set edge to what the cluster has',
  'gateway.networking.k8s.io': 'install the CRDs of Gateway API and an implementation, or set edge.dialect to that of your controller',
  'gateway.nginx.org': 'install NGINX Gateway Fabric 2.6 or newer, or set edge to what the cluster has',
  'cert-manager.io': 'install cert-manager, or set edge.certificate to { source: "secret" }',
  'monitoring.coreos.com': 'install the Prometheus Operator (kube-prometheus-stack), or set monitoring.stack to { mode: "bundled" }',
  'external-secrets.io': 'install the External Secrets Operator, or set secrets to { mode: "cli" }',
  'bitnami.com': 'install the Sealed Secrets controller, or set secrets to { mode: "cli" }',
  'traefik.io': 'install Traefik with its CRDs, or set edge.dialect to that of your controller',
};

const groupOf = (apiVersion: string): string => (apiVersion.includes('/') ? (apiVersion.split('/')[0] as string) : '');

const unique = <T>(items: readonly T[], key: (item: T) => string): T[] => [...new Map(items.map(item => [key(item), item])).values()];

async function kindFindings(
  cluster: Cluster,
  objects: readonly KubernetesObject[],
): Promise<{ findings: Finding[]; types: ResourceType[] }> {
  const kinds = unique(objects, ({ apiVersion, kind }) => `${apiVersion} ${kind}`);
  const types = await Promise.all(kinds.map(({ apiVersion, kind }) => cluster.resourceType(apiVersion, kind)));
  return {
    findings: kinds
      .filter((_, index) => types[index] === undefined)
      .map(({ apiVersion, kind }) =>
        error(
          `the cluster knows no ${kind} of ${apiVersion}`,
          installs[groupOf(apiVersion)] ?? 'install what brings it, or upgrade the cluster',
        ),
      ),
    types: types.filter(type => type !== undefined),
  };
}

async function permissionFindings(cluster: Cluster, types: readonly ResourceType[], namespace: string): Promise<Finding[]> {
  const [secrets, pods, events] = await Promise.all(['Secret', 'Pod', 'Event'].map(kind => cluster.resourceType('v1', kind)));
  const revisions = await cluster.resourceType('apps/v1', 'ControllerRevision');
  const verbs = (type: ResourceType | undefined, ...names: string[]) => (type ? names.map(verb => ({ type, verb })) : []);
  const needed = [
    // Claims and what is in no namespace are never pruned.
    ...types.flatMap(type =>
      verbs(type, 'get', 'create', 'patch', ...(type.namespaced && type.kind !== 'PersistentVolumeClaim' ? ['delete'] : [])),
    ),
    ...verbs(secrets, 'get', 'create', 'patch'),
    ...verbs(revisions, 'list', 'create', 'patch', 'delete'),
    ...verbs(pods, 'list'),
    ...verbs(events, 'list'),
  ];
  const allowed = await Promise.all(needed.map(({ type, verb }) => cluster.may(verb, type, type.namespaced ? namespace : undefined)));
  const refused = new Map<string, string[]>();
  for (const [index, { type, verb }] of needed.entries()) {
    if (allowed[index]) continue;
    const resource = [type.plural, groupOf(type.apiVersion)].filter(Boolean).join('.');
    refused.set(resource, [...(refused.get(resource) ?? []), verb]);
  }
  return [...refused].map(([resource, verbs]) =>
    error(
      `you may not ${verbs.join(', ')} ${resource} in ${namespace}`,
      'ask for a role that allows it, or choose another user with --context',
    ),
  );
}

/** Kinds of the edge that name a class, and the classes. */
const classes = [
  { kind: 'Ingress', field: 'ingressClassName', of: { apiVersion: 'networking.k8s.io/v1', kind: 'IngressClass' }, title: 'ingress class' },
  {
    kind: 'Gateway',
    field: 'gatewayClassName',
    of: { apiVersion: 'gateway.networking.k8s.io/v1', kind: 'GatewayClass' },
    title: 'gateway class',
  },
] as const;

async function classFindings(cluster: Cluster, objects: readonly KubernetesObject[]): Promise<Finding[]> {
  const findings = classes.map(async ({ kind, field, of, title }) => {
    const wanted = new Set(
      objects.filter(object => object.kind === kind).map(({ spec }) => (spec as Readonly<Record<string, string>>)[field] as string),
    );
    // A cluster that does not know the class's kind has been told of already.
    if (wanted.size === 0 || (await cluster.resourceType(of.apiVersion, of.kind)) === undefined) return [];
    const names = (await cluster.list(of.apiVersion, of.kind)).map(({ metadata }) => metadata.name);
    return [...wanted]
      .filter(name => !names.includes(name))
      .map(name =>
        error(
          `there is no ${title} "${name}"; the cluster has ${names.join(', ') || 'none'}`,
          'install the controller, or set edge.dialect and edge.className to what the cluster has',
        ),
      );
  });
  return (await Promise.all(findings)).flat();
}

const IS_DEFAULT = 'storageclass.kubernetes.io/is-default-class';

async function storageFindings(cluster: Cluster, objects: readonly KubernetesObject[], namespace: string): Promise<Finding[]> {
  const bound = new Set(
    (await cluster.list<Claim>('v1', 'PersistentVolumeClaim', namespace))
      .filter(({ status }) => status?.phase === 'Bound')
      .map(({ metadata }) => metadata.name),
  );
  const claims = objects.filter(({ kind, metadata }) => kind === 'PersistentVolumeClaim' && !bound.has(metadata.name));
  const classes = await cluster.list<{ metadata: Metadata }>('storage.k8s.io/v1', 'StorageClass');
  const names = classes.map(({ metadata }) => metadata.name);
  const hasDefault = classes.some(({ metadata }) => metadata.annotations?.[IS_DEFAULT] === 'true');
  const wanted = new Set(claims.map(({ spec }) => (spec as { storageClassName?: string }).storageClassName));
  return [...wanted].flatMap(name => {
    if (name === undefined) {
      const remedy = `mark one of ${names.join(', ') || '(it has none)'} as default, or set storageClass in config/`;
      return hasDefault ? [] : [error('no storage class is the default', remedy)];
    }
    return names.includes(name)
      ? []
      : [error(`there is no storage class "${name}"`, `use one of ${names.join(', ') || '(the cluster has none)'}`)];
  });
}

/** Secrets that settings name, and whose values only the operator knows. */
async function secretFindings(cluster: Cluster, settings: Settings): Promise<Finding[]> {
  const { namespace } = settings;
  const findings = operatorSecrets(settings).map(async ({ name, keys, path }) => {
    const secret = await cluster.get<Secret>({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace } });
    const missing = keys.filter(key => !secret?.data?.[key]);
    if (secret !== undefined && missing.length === 0) return [];
    const problem = secret === undefined ? `there is no Secret/${name} in ${namespace}` : `Secret/${name} lacks ${missing.join(' and ')}`;
    const files = (keys.length > 0 ? keys : ['NAME']).map(key => `--from-file=${key}=FILE`).join(' ');
    const create = `kubectl --namespace ${namespace} create secret generic ${name} ${files}`;
    const remedy = secret === undefined ? `${create} (orfeas secrets makes the namespace first)` : `delete it and make it anew: ${create}`;
    return [error(`${problem}, which ${path} names`, remedy)];
  });
  return (await Promise.all(findings)).flat();
}

interface Node {
  readonly status?: { readonly allocatable?: Readonly<Record<string, string>> };
}

async function gpuFindings(cluster: Cluster, { gpu }: Settings): Promise<Finding[]> {
  if (gpu.perPod === 0) return [];
  const nodes = await cluster.list<Node>('v1', 'Node');
  if (nodes.some(({ status }) => Number(status?.allocatable?.[gpu.resourceName] ?? 0) >= gpu.perPod)) return [];
  // An autoscaler brings nodes only when a pod waits for one, so this cannot be an error.
  return [
    warning(
      `no node offers ${gpu.perPod} ${gpu.resourceName}: the backend waits until one does`,
      "install the GPU's device plugin, add a GPU node, or set gpu.resourceName to what your nodes advertise",
    ),
  ];
}

/** A check that the user may not be allowed to make. */
const ifAllowed = (what: string, check: Promise<Finding[]>): Promise<Finding[]> =>
  check.catch(failure => {
    if (failure instanceof ApiError && failure.status === 403)
      return [warning(`${what} could not be checked: ${failure.message}`, 'check it yourself')];
    throw failure;
  });

export interface PreflightProps {
  readonly settings: Settings;
  readonly objects: readonly KubernetesObject[];
}

/** Everything that would keep the deployment from working, found before anything changes. */
export async function preflight(
  cluster: Cluster,
  { settings, objects }: PreflightProps,
): Promise<{ version: string; findings: Finding[] }> {
  const { namespace } = settings;
  const version = await cluster.version();
  const { findings, types } = await kindFindings(cluster, objects);
  const others = await Promise.all([
    permissionFindings(cluster, types, namespace),
    ifAllowed('the namespace', namespaceFindings(cluster, namespace)),
    ifAllowed('classes of the edge', classFindings(cluster, objects)),
    ifAllowed('storage classes', storageFindings(cluster, objects, namespace)),
    ifAllowed('Secrets', secretFindings(cluster, settings)),
    ifAllowed('GPUs', gpuFindings(cluster, settings)),
  ]);
  return { version, findings: [...placeholderFindings(settings), ...versionFindings(version), ...findings, ...others.flat()] };
}

export async function namespaceFindings(cluster: Cluster, name: string): Promise<Finding[]> {
  const namespace = await cluster.get({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  if (!namespace?.metadata.deletionTimestamp) return [];
  return [
    error(
      `the namespace ${name} is being deleted`,
      `wait until it is gone (kubectl wait --for=delete namespace/${name}), then deploy again`,
    ),
  ];
}

/** @throws CommandError with all errors at once. */
export function refuseOnErrors(findings: readonly Finding[]): void {
  const errors = findings.filter(({ severity }) => severity === 'error');
  if (errors.length === 0) return;
  throw new CommandError(
    [`${errors.length} thing(s) to mend first:`, ...errors.map(({ message, remedy }) => `  ${message}\n    → ${remedy}`)].join('\n'),
  );
}
