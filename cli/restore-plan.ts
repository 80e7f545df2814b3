import type { Settings } from '../config';
import { bundledStack } from '../config/derive';
import type { Change } from './apply';
import { type BackupManifest, describeMissing } from './backups';
import { CommandError } from './errors';
import { title } from './objects';
import { age, size, table } from './outcome';
import { parts as allParts, type Part } from './parts';
import type { Workload } from './rollout';

export interface Choice {
  /** What is restored; all data that the backup has when absent, as git has the configuration. */
  readonly parts?: readonly Part[] | undefined;
  readonly skipModels?: boolean | undefined;
}

/**
 * The parts of a backup to restore.
 *
 * @throws CommandError when the backup, or the studio, has no such part.
 */
export function chooseParts(settings: Settings, { name, namespace, parts, missing }: BackupManifest, choice: Choice): Part[] {
  const there = allParts.filter(part => parts[part] !== undefined);
  const isForeign = (part: Part): boolean => part === 'monitoring' && bundledStack(settings) === undefined;
  const all = there.filter(part => part !== 'configuration' && !isForeign(part));
  const chosen = (choice.parts ?? all).filter(part => !(choice.skipModels && part === 'models'));

  const absent = chosen.filter(part => !there.includes(part));
  if (absent.length > 0) {
    const reasons = Object.fromEntries(absent.map(part => [part, missing[part] ?? 'it was not taken']));
    throw new CommandError(`${name} lacks ${describeMissing(reasons)}`, `it has ${there.join(', ')}: choose of these with --parts`);
  }
  if (chosen.some(isForeign)) {
    throw new CommandError(
      `${settings.environment} has no Prometheus and Grafana of its own to restore monitoring to`,
      'leave monitoring out of --parts, or set monitoring.stack to { mode: "bundled" } and deploy',
    );
  }
  if (chosen.includes('configuration') && namespace !== settings.namespace) {
    throw new CommandError(
      `${name} has the configuration of ${namespace}, which is not that of ${settings.namespace}`,
      'leave configuration out of --parts: orfeas deploy makes the objects',
    );
  }
  if (chosen.length === 0) throw new CommandError(`${name} has nothing to restore`, 'choose another: orfeas backup list shows them');
  return chosen;
}

export interface RestorePlan {
  readonly parts: readonly Part[];
  /** What stops meanwhile. */
  readonly writers: readonly Workload[];
  /** Of the configuration. */
  readonly changes: readonly Change[];
}

/** What a restore would change, for people to agree to. */
export function describePlan({ namespace }: Settings, manifest: BackupManifest, { parts, writers, changes }: RestorePlan): string {
  const rows = parts
    .filter(part => part !== 'configuration')
    .map(part => [`  ${part}`, `${manifest.parts[part]?.files}`, size(manifest.parts[part]?.bytes ?? 0)]);
  const changed = changes.filter(({ action }) => action !== 'unchanged').map(({ object }) => object);
  const made = `${age((Date.now() - Date.parse(manifest.created)) / 1000)} ago (${manifest.created})`;
  return [
    `${manifest.name} was made of ${manifest.namespace} ${made} by version ${manifest.version}.`,
    ...(rows.length > 0 ? [`In ${namespace} it replaces:`, table([['  PART', 'FILES', 'SIZE'], ...rows])] : []),
    ...(parts.includes('configuration')
      ? [`It changes ${changed.length} object(s)${changed.length > 0 ? `: ${changed.join(', ')}` : ''}.`]
      : []),
    ...(Object.keys(manifest.missing).length > 0 ? [`It lacks ${describeMissing(manifest.missing)}.`] : []),
    ...(writers.length > 0 ? [describeStop(writers)] : []),
    ...(rows.length > 0 ? ['What it replaces is kept until the next restore: orfeas restore --undo puts it back.'] : []),
  ].join('\n');
}

export const describeStop = (writers: readonly Workload[]): string => `Meanwhile these stop: ${writers.map(title).join(', ')}.`;
