import { randomInt } from 'node:crypto';
import { type SecretReference, secrets } from '../config/secrets';
import { ApiError, type Cluster, type Write } from './cluster';
import { CommandError } from './errors';
import type { KubernetesObject, Secret } from './objects';
import { type Workload, waitForRollouts } from './rollout';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
/** A later deployment does not own what this manager sets, so it leaves it alone. */
const ROTATION_MANAGER = 'orfeas-rotate';

const references: readonly SecretReference[] = Object.values(secrets);

export interface SecretChange {
  readonly name: string;
  /** `completed` had no value under its key; `kept` was not touched. */
  readonly action: 'created' | 'completed' | 'kept' | 'rotated';
}

const random = (characters: number): string => Array.from({ length: characters }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');

const encode = (value: string): string => Buffer.from(value).toString('base64');

/** Labels of what the command makes beside the manifests: no prune sees them. */
export const operatorLabels = (namespace: string): Record<string, string> => ({
  'app.kubernetes.io/part-of': 'orfeas',
  'app.kubernetes.io/instance': namespace,
  'app.kubernetes.io/managed-by': 'orfeas',
});

const referenceTo = (namespace: string, name: string) => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace } });

async function ensure(
  cluster: Cluster,
  namespace: string,
  { name, key, characters }: SecretReference,
  { dryRun }: Write,
): Promise<SecretChange> {
  const reference = referenceTo(namespace, name);
  const live = await cluster.get<Secret>(reference);
  if (live?.data?.[key]) return { name, action: 'kept' };
  if (dryRun) return { name, action: live === undefined ? 'created' : 'completed' };
  const data = { [key]: encode(random(characters)) };
  if (live === undefined) {
    await cluster.create({ ...reference, metadata: { ...reference.metadata, labels: operatorLabels(namespace) }, type: 'Opaque', data });
    return { name, action: 'created' };
  }
  await cluster.merge(reference, { metadata: { resourceVersion: live.metadata.resourceVersion }, data });
  return { name, action: 'completed' };
}

/** Makes the Secrets that are missing. A value that is there is never changed. */
export async function ensureSecrets(cluster: Cluster, namespace: string, write: Write = {}): Promise<SecretChange[]> {
  const changes: SecretChange[] = [];
  for (const reference of references) {
    const change = await ensure(cluster, namespace, reference, write).catch((error): SecretChange => {
      // Somebody made it at the same moment.
      if (error instanceof ApiError && error.status === 409) return { name: reference.name, action: 'kept' };
      throw error;
    });
    changes.push(change);
  }
  return changes;
}

/** Whether the workload's pods read the Secret. */
export function usesSecret({ spec }: Workload, name: string): boolean {
  const pod = spec?.template.spec;
  const containers = [...(pod?.initContainers ?? []), ...(pod?.containers ?? [])];
  return (
    containers.some(
      ({ env = [], envFrom = [] }) =>
        env.some(({ valueFrom }) => valueFrom?.secretKeyRef?.name === name) || envFrom.some(({ secretRef }) => secretRef?.name === name),
    ) ||
    (pod?.volumes?.some(
      ({ secret, projected }) => secret?.secretName === name || projected?.sources?.some(source => source.secret?.name === name) === true,
    ) ??
      false)
  );
}

/** Workloads in the order of restarting: Redis must know the new password before its clients use it. */
const redisFirst = (a: Workload, b: Workload): number => Number(b.metadata.name === 'redis') - Number(a.metadata.name === 'redis');

export interface RotationProps {
  readonly namespace: string;
  readonly reference: SecretReference;
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
}

/**
 * Replaces a Secret's value, and restarts the workloads that read it, one after the other.
 *
 * @returns The names of the workloads that were restarted.
 */
export async function rotateSecret(
  cluster: Cluster,
  { namespace, reference: { name, key, characters }, signal, onProgress }: RotationProps,
): Promise<string[]> {
  if ((await cluster.get(referenceTo(namespace, name))) === undefined) {
    throw new CommandError(`Secret/${name} does not exist in ${namespace}`, 'make it: orfeas secrets');
  }
  const lists = await Promise.all(
    (['Deployment', 'StatefulSet'] as const).map(async kind =>
      (await cluster.list<Workload>('apps/v1', kind, namespace)).map(workload => ({ ...workload, apiVersion: 'apps/v1', kind })),
    ),
  );
  const users = (lists.flat() as Workload[]).filter(workload => usesSecret(workload, name)).sort(redisFirst);
  await cluster.merge(referenceTo(namespace, name), { data: { [key]: encode(random(characters)) } }, ROTATION_MANAGER);
  const restarted: string[] = [];
  for (const workload of users) {
    const title = `${workload.kind}/${workload.metadata.name}`;
    onProgress(`restarting ${title}`);
    const annotations = { 'kubectl.kubernetes.io/restartedAt': new Date().toISOString() };
    await cluster.merge(workload, { spec: { template: { metadata: { annotations } } } }, ROTATION_MANAGER);
    restarted.push(title);
    await waitForRollouts(cluster, { namespace, workloads: [workload as unknown as KubernetesObject], signal, onProgress });
  }
  return restarted;
}
