import { isDeepStrictEqual } from 'node:util';
import type { Cluster, PatchOperation } from './cluster';
import { deliverers } from './deliverers';
import type { KubernetesObject } from './objects';

/** Of this command, and of controllers of the cluster: they say in managedFields what they are, but for a few. */
const NOT_BY_HAND =
  /^orfeas|(^|-)(controller|controller-manager|operator|scheduler|kubelet|apiserver|provisioner|resizer)$|^(agent|glbc|k0s|k3s|rancher|Reloader|traefik)$/;

/** Whether what a manager owns stays only where the manifest has it: what people write, and what git had when it was last delivered. */
const isByHand = (manager: string): boolean => !NOT_BY_HAND.test(manager) || deliverers.some(deliverer => deliverer.manager === manager);

/** What kubectl and deliverers leave behind: it changes nothing of what runs. */
const TRACES = new Set([
  'kubectl.kubernetes.io/last-applied-configuration',
  'kubectl.kubernetes.io/restartedAt',
  ...deliverers.flatMap(({ marks }) => marks),
]);

/** The name of a field, or the values that tell an item of a list apart. */
type Segment = string | Readonly<Record<string, unknown>>;
export type Path = readonly Segment[];

/** As in managedFields: https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management */
interface Fields {
  readonly [name: string]: Fields;
}

function parseSegment(name: string): Segment | undefined {
  if (name.startsWith('f:')) return name.slice(2);
  if (name.startsWith('k:')) return JSON.parse(name.slice(2));
  return undefined;
}

const clone = (object: KubernetesObject): KubernetesObject => JSON.parse(JSON.stringify(object));

type Container = Record<string | number, unknown>;

/** The key of a child in its parent. */
function keyOf(parent: unknown, segment: Segment): string | number | undefined {
  if (typeof segment === 'string') return typeof parent === 'object' && parent !== null && segment in parent ? segment : undefined;
  if (!Array.isArray(parent)) return undefined;
  const index = parent.findIndex(item => Object.entries(segment).every(([key, value]) => isDeepStrictEqual(item?.[key], value)));
  return index < 0 ? undefined : index;
}

function child(parent: unknown, segment: Segment): unknown {
  const key = keyOf(parent, segment);
  return key === undefined ? undefined : (parent as Container)[key];
}

/** The same of a manifest, which may leave some of the values that tell items apart to their defaults, as ports do with TCP. */
function statedChild(parent: unknown, segment: Segment): unknown {
  if (typeof segment === 'string' || !Array.isArray(parent)) return child(parent, segment);
  return parent.find(item => Object.entries(segment).every(([key, value]) => isDeepStrictEqual(item?.[key] ?? value, value)));
}

const at = (object: unknown, path: Path): unknown => path.reduce(child, object);

/** Of the fields that a manager owns, those that the manifest does not have. */
function unstated(fields: Fields, live: unknown, manifest: unknown, path: Path): Path[] {
  return Object.entries(fields).flatMap(([name, below]) => {
    const segment = parseSegment(name);
    if (segment === undefined || (typeof segment === 'string' && TRACES.has(segment))) return [];
    const [value, stated] = [child(live, segment), statedChild(manifest, segment)];
    if (value === undefined) return [];
    const here = [...path, segment];
    const isWhole = Object.keys(below).length === 0 || (typeof segment !== 'string' && '.' in below);
    return stated === undefined && isWhole ? [here] : unstated(below, value, stated, here);
  });
}

/**
 * What people may set: labels, annotations, and what an object is there for. A claim cannot be changed but in its size, which
 * its manifest has; the namespace belongs to those who run the cluster as well.
 */
function ofPeople({ kind }: KubernetesObject, fields: Fields): Fields {
  if (kind === 'Namespace') return {};
  const { 'f:metadata': metadata = {}, 'f:status': _, ...content } = fields;
  const noted = Object.fromEntries(Object.entries(metadata).filter(([name]) => ['f:labels', 'f:annotations'].includes(name)));
  return { 'f:metadata': noted, ...(kind !== 'PersistentVolumeClaim' && content) };
}

const pointer = (keys: readonly (string | number)[]): string =>
  keys.map(key => `/${`${key}`.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');

/** A JSON patch that removes the fields, as long as they are what they were seen to be. */
export function removal(object: KubernetesObject, paths: readonly Path[]): PatchOperation[] {
  const copy = clone(object);
  return paths.flatMap((path): PatchOperation[] => {
    const value = at(copy, path);
    if (value === undefined) return [];
    const keys: (string | number)[] = [];
    let parent: unknown = copy;
    for (const segment of path) {
      if (keys.length > 0) parent = (parent as Container)[keys.at(-1) as string | number];
      keys.push(keyOf(parent, segment) as string | number);
    }
    const last = keys.at(-1) as string | number;
    if (Array.isArray(parent)) parent.splice(last as number, 1);
    else delete (parent as Container)[last];
    return [
      { op: 'test', path: pointer(keys), value },
      { op: 'remove', path: pointer(keys) },
    ];
  });
}

/** What somebody set by hand where the manifest says nothing. */
export interface ByHand {
  readonly paths: readonly Path[];
  /** The object as the cluster would have it without that. */
  readonly bare: KubernetesObject;
}

/** Finds what somebody set by hand where the manifest says nothing. Nothing changes. */
export async function findByHand(cluster: Cluster, live: KubernetesObject, manifest: KubernetesObject): Promise<ByHand> {
  const owned = (live.metadata.managedFields ?? []).filter(
    ({ manager = '', subresource }) => isByHand(manager) && subresource === undefined,
  );
  const found = owned.flatMap(({ fieldsV1 }) => unstated(ofPeople(live, fieldsV1 as Fields), live, manifest, []));
  if (found.length === 0) return { paths: [], bare: live };
  const bare = await cluster.patch(live, removal(live, found), { dryRun: true });
  // Whoever makes an object without server-side apply owns the defaults, too: the cluster puts them back.
  return { paths: found.filter(path => !isDeepStrictEqual(at(bare, path), at(live, path))), bare };
}

/** The object with each of these fields as it would be had nobody set it. */
export function withoutByHand(object: KubernetesObject, { paths, bare }: ByHand): KubernetesObject {
  const copy = clone(object);
  for (const path of paths) {
    const parent = at(copy, path.slice(0, -1));
    const key = keyOf(parent, path.at(-1) as Segment);
    if (key === undefined) continue;
    const value = at(bare, path);
    if (value !== undefined) (parent as Container)[key] = value;
    else if (Array.isArray(parent)) parent.splice(key as number, 1);
    else delete (parent as Container)[key];
  }
  return copy;
}
