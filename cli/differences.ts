import { isDeepStrictEqual } from 'node:util';

export interface Difference {
  /** Such as `spec.template.spec.containers[api].image`. */
  readonly path: string;
  /** Absent where the cluster has no such field. */
  readonly live?: unknown;
  /** Absent where there should be no such field. */
  readonly wanted?: unknown;
}

/** Set by the cluster at each write. */
const BOOKKEEPING = new Set([
  'metadata.managedFields',
  'metadata.resourceVersion',
  'metadata.generation',
  'metadata.creationTimestamp',
  'metadata.uid',
  'status',
]);

/** What tells items of a list apart, where all have it. */
const ITEM_KEYS = ['name', 'mountPath', 'containerPort', 'port'];

type Branch = Readonly<Record<string, unknown>>;
const isBranch = (value: unknown): value is Branch => typeof value === 'object' && value !== null && !Array.isArray(value);

const join = (path: string, key: string): string => {
  if (path === '') return key;
  return /^[A-Za-z][\w-]*$/.test(key) ? `${path}.${key}` : `${path}[${key}]`;
};

const identifies = (key: string, list: readonly unknown[]): boolean =>
  list.every(item => isBranch(item) && item[key] !== undefined) && new Set(list.map(item => (item as Branch)[key])).size === list.length;

function compareLists(live: readonly unknown[], wanted: readonly unknown[], path: string): Difference[] {
  const key = ITEM_KEYS.find(name => identifies(name, live) && identifies(name, wanted));
  const label = (item: unknown, index: number): string => `${key === undefined ? index : (item as Branch)[key]}`;
  const [before, after] = [live, wanted].map(list => new Map(list.map((item, index) => [label(item, index), item])));
  const found = [...new Set([...(before?.keys() ?? []), ...(after?.keys() ?? [])])].flatMap(name =>
    differences(before?.get(name), after?.get(name), `${path}[${name}]`),
  );
  // The same items in another order.
  return found.length > 0 ? found : [{ path, live, wanted }];
}

/** Where two objects differ, bookkeeping aside. */
export function differences(live: unknown, wanted: unknown, path = ''): Difference[] {
  if (BOOKKEEPING.has(path) || isDeepStrictEqual(live, wanted)) return [];
  if (Array.isArray(live) && Array.isArray(wanted)) return compareLists(live, wanted, path);
  if (!isBranch(live) || !isBranch(wanted)) return [{ path, ...(live !== undefined && { live }), ...(wanted !== undefined && { wanted }) }];
  return [...new Set([...Object.keys(live), ...Object.keys(wanted)])].flatMap(key => differences(live[key], wanted[key], join(path, key)));
}
