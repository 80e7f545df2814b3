import { relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Settings } from '../config';
import type { SecretReference } from '../config/secrets';
import type { Cluster } from './cluster';
import { CommandError } from './errors';
import type { Secret } from './objects';
import { sealedFile, writeSealed } from './seal';
import { complaintOf, externalSecret, randomValue, referenceTo } from './secrets';

/** A later deployment does not own what this manager sets, so it leaves it alone. */
export const ROTATION_MANAGER = 'orfeas-rotate';
const POLL_MILLISECONDS = 1000;
/** How often a store is looked at while somebody changes it. */
const STORE_SECONDS = 10;
/** Of a value that a person makes; the backend takes no shorter one. */
const MIN_CHARACTERS = 32;
const VISIBLE = /^[!-~]+$/;

export type Values = Readonly<Record<string, string>>;

/** A Secret as the cluster has it. */
export interface Present {
  readonly values: Values;
  readonly resourceVersion: string | undefined;
}

/** For each key that is there after it, the key whose value it gets; `null` for a new value. */
export type Change = Readonly<Record<string, string | null>>;

export interface ChangeProps {
  readonly settings: Settings;
  readonly reference: SecretReference;
  /** Of the Sealed Secrets controller, PEM, where values are sealed. */
  readonly certificate?: string | undefined;
  /** How long a person may take for a change. */
  readonly patienceSeconds: number;
  readonly signal: AbortSignal;
  /** Tells a person what to do. */
  readonly onInstruction: (text: string) => void;
}

/** The keys that a rotation knows. */
const keysOf = ({ key }: SecretReference): string[] => [key, `${key}.next`, `${key}.previous`];

export async function readPresent(cluster: Cluster, namespace: string, name: string): Promise<Present> {
  const live = await cluster.get<Secret>(referenceTo(namespace, name));
  const values = Object.entries(live?.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]);
  return { values: Object.fromEntries(values), resourceVersion: live?.metadata.resourceVersion };
}

/** What keeps values from being those after a change. */
export function problemsOf(change: Change, before: Values, now: Values, reference: SecretReference): string[] {
  return keysOf(reference).flatMap(key => {
    const source = change[key];
    const value = now[key];
    if (source === undefined) return value === undefined ? [] : `${key} is still there`;
    if (value === undefined) return `${key} is not there yet`;
    if (source === key) return value === before[key] ? [] : `${key} has changed, and must be what it was`;
    if (source !== null) return value === before[source] ? [] : `${key} is not what ${source} was`;
    if (value === now[reference.key]) return `${key} is the same as ${reference.key}`;
    return value.length >= MIN_CHARACTERS && VISIBLE.test(value)
      ? []
      : `${key} must have ${MIN_CHARACTERS} or more letters, digits or signs, without spaces or an end of line`;
  });
}

function changed(change: Change, values: Values, reference: SecretReference): Values {
  const others = Object.entries(values).filter(([key]) => !keysOf(reference).includes(key));
  const set = Object.entries(change).map(([key, source]) => [
    key,
    source === null ? randomValue(reference.characters) : (values[source] as string),
  ]);
  return Object.fromEntries([...others, ...set]);
}

/** A change as a person makes it. */
function describe(change: Change, values: Values, reference: SecretReference): string {
  const { characters } = reference;
  const fresh = `${characters} random letters and digits (openssl rand -hex ${characters / 2} makes some)`;
  const set = Object.entries(change)
    .filter(([key, source]) => source !== key)
    .map(([key, source]) => `set ${key} to ${source === null ? fresh : `what ${source} has now`}`);
  const removed = keysOf(reference).filter(key => key in values && !(key in change));
  const parts = [...set, ...removed.map(key => `remove ${key}`)];
  return parts.length === 1 ? parts.join() : `${parts.join(', ')}, all in one write`;
}

/** Changes the Secret itself. */
async function merge(
  cluster: Cluster,
  change: Change,
  { values, resourceVersion }: Present,
  { settings, reference }: ChangeProps,
): Promise<void> {
  const wanted = changed(change, values, reference);
  const data = keysOf(reference)
    .filter(key => wanted[key] !== values[key])
    .map(key => [key, wanted[key] === undefined ? null : Buffer.from(wanted[key]).toString('base64')]);
  const target = referenceTo(settings.namespace, reference.name);
  await cluster.merge(target, { metadata: { resourceVersion }, data: Object.fromEntries(data) }, ROTATION_MANAGER);
}

/** What the External Secrets Operator is asked for. */
interface ExternalSecret {
  readonly spec: {
    readonly secretStoreRef: { readonly kind: string; readonly name: string };
    readonly dataFrom: readonly [{ readonly extract: { readonly key: string } }];
  };
}

/** Where a Secret's values come from. */
async function findEntry(cluster: Cluster, { namespace }: Settings, name: string): Promise<string> {
  const request = await cluster.get<ExternalSecret>(externalSecret(namespace, name));
  if (request === undefined) {
    throw new CommandError(
      `There is no ExternalSecret/${name} in ${namespace}, so nothing brings a new value from the store`,
      'deploy the studio as its settings are now',
    );
  }
  const { secretStoreRef: store, dataFrom } = request.spec;
  return `${store.kind}/${store.name}, entry ${dataFrom[0].extract.key}`;
}

/** As https://external-secrets.io/latest/introduction/faq/ has it: the operator looks at the store when the annotation changes. */
async function lookAtStore(cluster: Cluster, { namespace }: Settings, name: string): Promise<void> {
  const annotations = { 'force-sync': `${Math.floor(Date.now() / 1000 / STORE_SECONDS)}` };
  await cluster.merge(externalSecret(namespace, name), { metadata: { annotations } }, ROTATION_MANAGER);
}

/** Waits until the Secret has what somebody changes elsewhere, and tells what is wrong with it until then. */
async function waitForChange(
  cluster: Cluster,
  change: Change,
  before: Values,
  { settings, reference, patienceSeconds, signal, onInstruction }: ChangeProps,
): Promise<void> {
  const { name } = reference;
  const deadline = Date.now() + patienceSeconds * 1000;
  let told = '';
  for (;;) {
    if (settings.secrets.mode === 'external-secrets') await lookAtStore(cluster, settings, name);
    const { values } = await readPresent(cluster, settings.namespace, name);
    const problems = problemsOf(change, before, values, reference);
    if (problems.length === 0) return;
    const complaint = await complaintOf(cluster, settings, name);
    const text = `Secret/${name}: ${problems.join(', ')}${complaint === undefined ? '' : ` (${complaint})`}`;
    if (Date.now() > deadline) {
      throw new CommandError(
        `The change has not come within ${patienceSeconds} s. ${text}`,
        'run the command again once it is made: it goes on from here',
      );
    }
    if (text !== told) onInstruction(text);
    told = text;
    await sleep(POLL_MILLISECONDS, undefined, { signal });
  }
}

/** Changes the Secret, or has somebody change what its values come from. */
export async function makeChange(cluster: Cluster, change: Change, present: Present, props: ChangeProps): Promise<void> {
  const { settings, reference, certificate, onInstruction } = props;
  const { values } = present;
  switch (settings.secrets.mode) {
    case 'cli':
      return merge(cluster, change, present, props);
    case 'external-secrets':
      onInstruction(`In ${await findEntry(cluster, settings, reference.name)}: ${describe(change, values, reference)}`);
      break;
    case 'sealed-secrets': {
      await writeSealed(settings, reference.name, changed(change, values, reference), certificate as string);
      const file = relative(process.cwd(), sealedFile(settings, reference.name));
      onInstruction(`${file} has ${Object.keys(change).join(' and ')}: npm run synth, commit it and dist, and deploy`);
    }
  }
  return waitForChange(cluster, change, values, props);
}
