import { findByHand, removal, withoutByHand } from './by-hand';
import { ApiError, type Cluster, type ResourceType } from './cluster';
import { differences } from './differences';
import { CommandError } from './errors';
import { type Deployment, type KubernetesObject, type Metadata, title } from './objects';

export type Action = 'created' | 'configured' | 'unchanged' | 'pruned';

export interface Change {
  /** Such as `Deployment/backend`. */
  readonly object: string;
  readonly action: Action;
  /** Paths of the fields that differ. */
  readonly fields?: readonly string[];
}

/** What a deployment would do. */
export interface Plan {
  readonly changes: readonly Change[];
  /** Workloads whose pods stop before new ones start, with the seconds that they may take to finish. */
  readonly drains: readonly { readonly object: string; readonly seconds: number }[];
}

/** A refusal, with the object that it is about and what to do. */
export function explain(error: unknown, object: KubernetesObject): unknown {
  if (!(error instanceof ApiError)) return error;
  const immutable = /field is immutable|updates to statefulset spec|Forbidden: may not change/.test(error.message);
  const remedy = immutable
    ? `delete it and deploy again: kubectl --namespace ${object.metadata.namespace} delete ${object.kind.toLowerCase()} ${object.metadata.name} --cascade=orphan`
    : error.remedy;
  return new CommandError(`The cluster refuses ${title(object)}: ${error.message}`, remedy, { cause: error });
}

function describeChange(object: KubernetesObject, before: KubernetesObject | undefined, after: KubernetesObject): Change {
  if (before === undefined) return { object: title(object), action: 'created' };
  const fields = differences(before, after).map(({ path }) => path);
  return fields.length === 0 ? { object: title(object), action: 'unchanged' } : { object: title(object), action: 'configured', fields };
}

/** What an object in the cluster would be if nothing but its manifest had made it. Nothing changes. */
export async function wantedState(cluster: Cluster, live: KubernetesObject, manifest: KubernetesObject): Promise<KubernetesObject> {
  const [applied, byHand] = await Promise.all([cluster.apply(manifest, { dryRun: true }), findByHand(cluster, live, manifest)]);
  return withoutByHand(applied, byHand);
}

interface PlanContext {
  readonly namespaceExists: boolean;
  /** Names of the quotas among the manifests. */
  readonly quotas: readonly string[];
}

async function planOne(cluster: Cluster, object: KubernetesObject, { namespaceExists, quotas }: PlanContext): Promise<Change> {
  const live = await cluster.get(object);
  // The server can check an object only in a namespace that is there.
  if (live === undefined && object.metadata.namespace !== undefined && !namespaceExists)
    return { object: title(object), action: 'created' };
  const wanted = await (live ? wantedState(cluster, live, object) : cluster.apply(object, { dryRun: true })).catch(error => {
    // The quota that goes with it is applied before it, but not in a dry run.
    if (error instanceof ApiError && quotas.some(name => error.message.includes(`exceeded quota: ${name},`))) return undefined;
    throw explain(error, object);
  });
  return wanted ? describeChange(object, live, wanted) : { object: title(object), action: 'created' };
}

/**
 * Asks the cluster what applying the manifests would change. Nothing changes.
 *
 * @throws CommandError with all objects that the cluster refuses.
 */
export async function plan(cluster: Cluster, manifests: readonly KubernetesObject[], namespace: string): Promise<Plan> {
  const namespaceExists = (await cluster.get({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })) !== undefined;
  const quotas = manifests.filter(({ kind }) => kind === 'ResourceQuota').map(({ metadata }) => metadata.name);
  const planned = await Promise.allSettled(manifests.map(object => planOne(cluster, object, { namespaceExists, quotas })));
  const refusals = planned.filter(result => result.status === 'rejected').map(({ reason }) => reason as Error);
  if (refusals.length === 1) throw refusals[0];
  if (refusals.length > 1) {
    const remedy = [...new Set(refusals.map(error => (error as CommandError).remedy).filter(Boolean))].join('\n');
    throw new CommandError(refusals.map(({ message }) => message).join('\n'), remedy || undefined, { cause: refusals[0] });
  }
  const changes = planned.map(result => (result as PromiseFulfilledResult<Change>).value);
  const drains = manifests.flatMap((object, index) => {
    const { spec } = object as unknown as Deployment;
    const restarts = changes[index]?.fields?.some(field => field.startsWith('spec.template'));
    if (object.kind !== 'Deployment' || spec?.strategy?.type !== 'Recreate' || !restarts) return [];
    return [{ object: title(object), seconds: spec.template.spec?.terminationGracePeriodSeconds ?? 30 }];
  });
  return { changes, drains };
}

/** Makes one object what its manifest says, and tells what that changed. */
export async function applyObject(cluster: Cluster, object: KubernetesObject): Promise<Change> {
  try {
    const before = await cluster.get(object);
    const byHand = before && (await findByHand(cluster, before, object));
    const applied = await cluster.apply(object);
    const operations = removal(applied, byHand?.paths ?? []);
    return describeChange(object, before, operations.length > 0 ? await cluster.patch(object, operations) : applied);
  } catch (error) {
    throw explain(error, object);
  }
}

/** Data and identity are never pruned, nor what others make from our objects without owning it up. */
const NEVER_PRUNED = new Set([
  'Namespace',
  'PersistentVolumeClaim',
  'Secret',
  'Pod',
  'ReplicaSet',
  'ControllerRevision',
  'Endpoints',
  'EndpointSlice',
  'Event',
]);

export interface Managed {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Metadata;
}

const identity = ({ apiVersion, kind, metadata }: Managed | KubernetesObject): string =>
  [apiVersion.includes('/') ? apiVersion.split('/')[0] : '', kind, metadata.name].join('/');

/** Of the objects that an earlier deployment made, those that the manifests no longer have. */
export function toPrune(managed: readonly Managed[], manifests: readonly KubernetesObject[]): Managed[] {
  const wanted = new Set(manifests.map(identity));
  const seen = new Set<string>();
  return managed.filter(object => {
    const { uid = identity(object), ownerReferences = [], deletionTimestamp } = object.metadata;
    const duplicate = seen.has(uid);
    seen.add(uid);
    return (
      !duplicate && !NEVER_PRUNED.has(object.kind) && ownerReferences.length === 0 && !deletionTimestamp && !wanted.has(identity(object))
    );
  });
}

/** All objects in the namespace that a deployment made. */
export async function findManaged(cluster: Cluster, namespace: string): Promise<Managed[]> {
  const selector = `app.kubernetes.io/part-of=orfeas,app.kubernetes.io/managed-by=cdk8s,app.kubernetes.io/instance=${namespace}`;
  const types = (await cluster.resourceTypes()).filter(
    ({ kind, namespaced, verbs }) => namespaced && verbs.includes('list') && verbs.includes('delete') && !NEVER_PRUNED.has(kind),
  );
  const list = async (type: ResourceType): Promise<Managed[]> => {
    const items = await cluster.listMetadata(type, namespace, selector).catch(error => {
      // What the user may not list, the user has not deployed; and a kind may be withdrawn at any time.
      if (error instanceof ApiError && [403, 404, 405, 503].includes(error.status)) return [];
      throw error;
    });
    return items.map(metadata => ({ apiVersion: type.apiVersion, kind: type.kind, metadata }));
  };
  return (await Promise.all(types.map(list))).flat();
}

const asPruned = (object: Managed): Change => ({ object: title(object), action: 'pruned' });

/** Tells what a prune would delete. */
export const planPrune = async (cluster: Cluster, manifests: readonly KubernetesObject[], namespace: string): Promise<Change[]> =>
  toPrune(await findManaged(cluster, namespace), manifests).map(asPruned);

/** Deletes what is gone from the manifests; claims, Secrets and the namespace stay. */
export async function prune(cluster: Cluster, manifests: readonly KubernetesObject[], namespace: string): Promise<Change[]> {
  const gone = toPrune(await findManaged(cluster, namespace), manifests);
  for (const object of gone) await cluster.delete(object);
  return gone.map(asPruned);
}
