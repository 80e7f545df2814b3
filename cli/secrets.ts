import { randomInt } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Settings } from '../config';
import { type SecretReference, secrets, studioSecrets } from '../config/secrets';
import { ApiError, type Cluster, type Write } from './cluster';
import { CommandError } from './errors';
import type { Secret } from './objects';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

const references: readonly SecretReference[] = Object.values(secrets);

export interface SecretChange {
  readonly name: string;
  /** `completed` had no value under its key; `kept` was not touched. */
  readonly action: 'created' | 'completed' | 'kept' | 'rotated';
}

export const randomValue = (characters: number): string =>
  Array.from({ length: characters }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');

const encode = (value: string): string => Buffer.from(value).toString('base64');

/** Labels of what the command makes beside the manifests: no prune sees them. */
export const operatorLabels = (namespace: string): Record<string, string> => ({
  'app.kubernetes.io/part-of': 'orfeas',
  'app.kubernetes.io/instance': namespace,
  'app.kubernetes.io/managed-by': 'orfeas',
});

export const referenceTo = (namespace: string, name: string) => ({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace } });

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
  const data = { [key]: encode(randomValue(characters)) };
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

/** How long the store or the controller may take to bring a Secret. */
const OWNER_SECONDS = 120;
const POLL_MILLISECONDS = 1000;
const requests = {
  'external-secrets': { apiVersion: 'external-secrets.io/v1', kind: 'ExternalSecret' },
  'sealed-secrets': { apiVersion: 'bitnami.com/v1alpha1', kind: 'SealedSecret' },
} as const;

interface SecretRequest {
  readonly status?: { readonly conditions?: readonly { readonly status: string; readonly reason?: string; readonly message?: string }[] };
}

export const externalSecret = (namespace: string, name: string) => ({ ...requests['external-secrets'], metadata: { name, namespace } });

/** What the operator of the cluster that owes a Secret says is wrong. */
export async function complaintOf(cluster: Cluster, { namespace, secrets: { mode } }: Settings, name: string): Promise<string | undefined> {
  if (mode === 'cli') return undefined;
  const request = await cluster.get<SecretRequest>({ ...requests[mode], metadata: { name, namespace } });
  const condition = request?.status?.conditions?.find(({ status }) => status === 'False');
  return condition?.message ?? condition?.reason;
}

/** @throws CommandError where the Secrets are not the command's to make. */
export function refuseForeign({ environment, secrets: { mode } }: Settings): void {
  if (mode === 'cli') return;
  throw new CommandError(
    `The Secrets of ${environment} are not made by this command (secrets.mode is ${mode})`,
    mode === 'external-secrets' ? 'put them into the store' : `seal them for git: orfeas secrets seal --env ${environment}`,
  );
}

/**
 * Waits until what owns the Secrets has made them.
 *
 * @throws CommandError with the owner's own words when it does not
 */
export async function waitForSecrets(
  cluster: Cluster,
  settings: Settings,
  { signal, onProgress }: { readonly signal: AbortSignal; readonly onProgress: (text: string) => void },
): Promise<void> {
  const { namespace, secrets: owner } = settings;
  if (owner.mode === 'cli') return;
  const deadline = Date.now() + OWNER_SECONDS * 1000;
  for (;;) {
    const live = await Promise.all(
      studioSecrets(settings).map(async ([, { name, key }]) => ({
        name,
        there: (await cluster.get<Secret>(referenceTo(namespace, name)))?.data?.[key] !== undefined,
      })),
    );
    const missing = live.filter(({ there }) => !there).map(({ name }) => name);
    if (missing.length === 0) return;
    onProgress(`${owner.mode} has not made ${missing.join(', ')} yet`);
    if (Date.now() > deadline) {
      const told = missing.map(async name => {
        const complaint = await complaintOf(cluster, settings, name);
        return `Secret/${name} is not there after ${OWNER_SECONDS} s: ${complaint ?? `nothing answers its ${requests[owner.mode].kind}`}`;
      });
      throw new CommandError((await Promise.all(told)).join('\n'), `look at the operator that serves ${requests[owner.mode].kind}`);
    }
    await sleep(POLL_MILLISECONDS, undefined, { signal });
  }
}
