import { gunzipSync, gzipSync } from 'node:zlib';
import { ownImages } from '../config/images';
import { ApiError, type Cluster } from './cluster';
import { CommandError } from './errors';
import { type KubernetesObject, type Metadata, title } from './objects';
import { isWorkload, type Workload } from './rollout';

/** Of each environment. */
const KEPT = 10;
const STATUS = 'orfeas.io/revision-status';
const ROLLBACK_TO = 'orfeas.io/rollback-to';
const SELECTOR = 'app.kubernetes.io/component=revision';
const KIND = { apiVersion: 'apps/v1', kind: 'ControllerRevision' };

export type RevisionStatus = 'pending' | 'deployed' | 'failed';

/** What a deployment applied. */
export interface RevisionContent {
  /** Where the studio answers. */
  readonly host: string;
  readonly objects: readonly KubernetesObject[];
}

export interface Revision extends RevisionContent {
  readonly number: number;
  readonly status: RevisionStatus;
  readonly created: string | undefined;
  /** Number of the revision that it brought back. */
  readonly rollbackTo?: number;
}

/** As the cluster keeps it: compressed, and without any of the labels that a prune or the selector of a StatefulSet goes by. */
interface Stored {
  readonly metadata: Metadata;
  readonly revision: number;
  readonly data: { readonly content: string };
}

const nameOf = (number: number): string => `orfeas-revision-${number}`;
const pack = (content: RevisionContent): string => gzipSync(JSON.stringify(content)).toString('base64');
const unpack = (text: string): RevisionContent => JSON.parse(gunzipSync(Buffer.from(text, 'base64')).toString());
const referenceTo = (namespace: string, number: number) => ({ ...KIND, metadata: { name: nameOf(number), namespace } });

function parse({ metadata, revision, data }: Stored): Revision {
  const { [STATUS]: status, [ROLLBACK_TO]: rollbackTo } = metadata.annotations ?? {};
  return {
    number: revision,
    status: status as RevisionStatus,
    created: metadata.creationTimestamp,
    ...(rollbackTo && { rollbackTo: Number(rollbackTo) }),
    ...unpack(data.content),
  };
}

export const unrecorded = (environment: string, namespace: string): CommandError =>
  new CommandError(`No deployment to ${namespace} is recorded`, `orfeas deploy --env ${environment} records one`);

/** The newest first. */
export async function listRevisions(cluster: Cluster, namespace: string): Promise<Revision[]> {
  const stored = await cluster.list<Stored>(KIND.apiVersion, KIND.kind, namespace, { labelSelector: SELECTOR });
  return stored.map(parse).sort((a, b) => b.number - a.number);
}

export const isSame = (a: RevisionContent, b: RevisionContent): boolean =>
  JSON.stringify([a.host, a.objects]) === JSON.stringify([b.host, b.objects]);

export const lastDeployed = (revisions: readonly Revision[]): Revision | undefined => revisions.find(({ status }) => status === 'deployed');

/** What to go back to: the last revision that was deployed and is not what is there now. */
export function revisionBefore(revisions: readonly Revision[]): Revision | undefined {
  const [latest] = revisions;
  if (latest === undefined) return undefined;
  // A rollback that was cut off goes on.
  if (latest.rollbackTo !== undefined && latest.status !== 'deployed') return latest;
  return revisions.find(revision => revision.status === 'deployed' && !isSame(revision, latest));
}

/** Our own images that the workloads run, as `web:0.1.0`. */
export const imagesOf = ({ objects }: RevisionContent): string[] => {
  const containers = objects.filter(isWorkload).flatMap(object => (object as unknown as Workload).spec?.template.spec?.containers ?? []);
  const images = containers.map(({ image = '' }) => image.replace(/@.*/, '').replace(/.*\//, ''));
  return [...new Set(images)].filter(image => ownImages.some(name => image.startsWith(`${name}:`)));
};

/** Objects that one has and the other has not, or not so. */
export function changedObjects(before: RevisionContent, after: RevisionContent): string[] {
  const [old, recent] = [before.objects, after.objects].map(
    objects => new Map(objects.map(object => [title(object), JSON.stringify(object)])),
  );
  return [...new Set([...(old?.keys() ?? []), ...(recent?.keys() ?? [])])].filter(name => old?.get(name) !== recent?.get(name));
}

/** Says how the deployment of a revision ended. */
export type Conclude = (status: 'deployed' | 'failed') => Promise<void>;

/**
 * Records what is about to be applied as pending. What is deployed already is not recorded again; what was tried last is
 * the same revision when it is tried again.
 */
export async function beginRevision(cluster: Cluster, namespace: string, content: RevisionContent, rollbackTo?: number): Promise<Conclude> {
  const revisions = await listRevisions(cluster, namespace);
  const [latest] = revisions;
  const again = latest !== undefined && isSame(latest, content);
  if (again && latest.status === 'deployed') return async () => {};
  const number = again ? latest.number : (latest?.number ?? 0) + 1;
  const mark = (status: RevisionStatus): Promise<void> =>
    cluster.merge(referenceTo(namespace, number), { metadata: { annotations: { [STATUS]: status } } });
  if (again) {
    await mark('pending');
    return mark;
  }
  const { metadata, ...kind } = referenceTo(namespace, number);
  await cluster
    .create({
      ...kind,
      metadata: {
        ...metadata,
        labels: { 'app.kubernetes.io/component': 'revision' },
        annotations: { [STATUS]: 'pending', ...(rollbackTo !== undefined && { [ROLLBACK_TO]: `${rollbackTo}` }) },
      },
      revision: number,
      data: { content: pack(content) },
    })
    .catch(error => {
      if (!(error instanceof ApiError && error.reason === 'AlreadyExists')) throw error;
      throw new CommandError(`Somebody else deploys to ${namespace} right now`, 'wait until that has ended, then run this again', {
        cause: error,
      });
    });
  const kept = new Set([lastDeployed(revisions), ...revisions.slice(0, KEPT - 1)]);
  for (const revision of revisions) if (!kept.has(revision)) await cluster.delete(referenceTo(namespace, revision.number));
  return mark;
}
