import type { Settings } from '../config';
import type { Cluster } from './cluster';
import { deleteJob, followJob, hasEnded, jobsOf, stamp, startJob } from './cron-jobs';
import { CommandError } from './errors';
import type { CronJob } from './objects';
import { size } from './outcome';
import type { Part } from './parts';

/** `manifest.json` of a snapshot, as far as the command reads it. */
export interface BackupManifest {
  readonly name: string;
  /** ISO 8601. */
  readonly created: string;
  readonly namespace: string;
  readonly environment: string;
  readonly version: string;
  readonly parts: Readonly<Partial<Record<Part, { readonly files: number; readonly bytes: number }>>>;
  /** Parts that could not be had, with the reason. */
  readonly missing: Readonly<Partial<Record<Part, string>>>;
}

/** One backup in a list. */
export interface Snapshot {
  readonly name: string;
  readonly id: string;
  /** ISO 8601. */
  readonly created: string;
  readonly bytes: number;
  readonly files: number;
  readonly parts: readonly Part[];
  readonly missing: Readonly<Partial<Record<Part, string>>>;
  readonly version: string;
}

/** How one part of a Job's work goes: a line of its log. */
export interface PhaseEvent {
  readonly phase: string;
  readonly part?: Part;
  readonly status: 'started' | 'progress' | 'done' | 'failed' | 'skipped' | 'warning';
  readonly name?: string;
  readonly files?: number;
  readonly bytes?: number;
  readonly totalBytes?: number;
  readonly bytesPerSecond?: number;
  /** Why it is left out. */
  readonly reason?: string;
  readonly error?: string;
  readonly remedy?: string;
}

/** A line of a log that is a document; others are diagnostics, such as those of restic. */
export function parseLine(line: string): object | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !('message_type' in value) ? value : undefined;
  } catch {
    return undefined;
  }
}

export const isPhase = (document: object): document is PhaseEvent => 'phase' in document && 'status' in document;

/** A phase as people read it. */
export function describePhase({ phase, part, status, files, bytes, totalBytes, bytesPerSecond, reason, error }: PhaseEvent): string {
  const amount = bytes === undefined ? [] : [totalBytes ? `${size(bytes)} of ${size(totalBytes)}` : size(bytes)];
  const percent = status === 'progress' && bytes !== undefined && totalBytes ? [`${Math.floor((100 * bytes) / totalBytes)} %`] : [];
  const facts = [
    ...percent,
    ...amount,
    ...(files === undefined ? [] : [`${files} files`]),
    ...(bytesPerSecond === undefined ? [] : [`${size(bytesPerSecond)}/s`]),
    ...[reason, error].filter(text => text !== undefined),
  ];
  const what = [phase, ...(part ? [part] : []), ...(status === 'progress' ? [] : [status])].join(' ');
  return facts.length > 0 ? `${what}: ${facts.join(', ')}` : what;
}

/** @throws CommandError when no backups are made of the environment. */
export async function findCronJob(cluster: Cluster, { environment, namespace, backup }: Settings, name: string): Promise<CronJob> {
  const deploy = `orfeas deploy --env ${environment}`;
  if (!backup.enabled) {
    throw new CommandError(
      `No backups are made of ${environment}: backup.enabled is false`,
      `set it to true in config/${environment}.ts, and run ${deploy}`,
    );
  }
  const cronJob = await cluster.get<CronJob>({ apiVersion: 'batch/v1', kind: 'CronJob', metadata: { name, namespace } });
  if (cronJob === undefined) throw new CommandError(`There is no CronJob/${name} in ${namespace}`, deploy);
  return cronJob;
}

/** @throws CommandError when a Job of the CronJobs runs. */
export async function refuseWhileRunning(cluster: Cluster, namespace: string, cronJobs: readonly string[]): Promise<void> {
  const running = (await jobsOf(cluster, namespace, cronJobs)).find(job => !hasEnded(job));
  if (running === undefined) return;
  const { name } = running.metadata;
  throw new CommandError(
    `Job/${name} runs in ${namespace} already`,
    `wait for its end (kubectl --namespace ${namespace} wait --for=condition=Complete job/${name} --timeout=-1s), or delete it`,
  );
}

export interface RepositoryProps {
  readonly signal: AbortSignal;
  readonly onProgress: (text: string) => void;
}

/**
 * Asks the repository of backups, by a Job within the cluster.
 *
 * @param args - Such as `list`, or `inspect` and the name of a snapshot.
 * @returns The document that the Job prints.
 * @throws CommandError with what is wrong with the repository, or with the Job.
 */
export async function askRepository<T extends object>(
  cluster: Cluster,
  settings: Settings,
  args: readonly [command: string, ...string[]],
  { signal, onProgress }: RepositoryProps,
): Promise<T> {
  const cronJob = await findCronJob(cluster, settings, 'backup-repository');
  const job = await startJob(cluster, cronJob, { suffix: `${args[0]}-${stamp()}`, args, backoffLimit: 0 });
  let document: object | undefined;
  const onLine = (line: string): void => {
    document = parseLine(line) ?? document;
  };
  const { succeeded, problem } = await followJob(cluster, job, { signal, onLine, onProgress }).finally(() => deleteJob(cluster, job));
  if (succeeded && document !== undefined) return document as T;
  const { error, remedy } = (document ?? {}) as { error?: string; remedy?: string };
  throw new CommandError(error ?? (problem || `Job/${job.metadata.name} printed nothing`), remedy);
}

/** What is missing in a backup, in a few words. */
export const describeMissing = (missing: BackupManifest['missing']): string =>
  Object.entries(missing)
    .map(([part, reason]) => `${part} (${reason})`)
    .join(', ');
