import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { open, rename, rm, stat } from 'node:fs/promises';
import http from 'node:http';
import { dirname } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Settings } from '../config';
import { describePhase, findCronJob, isPhase, parseLine, type RepositoryProps } from './backups';
import type { Cluster } from './cluster';
import { deleteJob, followJob, podsOfJob, stamp, startJob } from './cron-jobs';
import { CommandError } from './errors';
import { forward } from './forward';
import { checkDirectory, tarOf, type ZippedBackup } from './zips';

/** Of images/backup, on the loopback interface of its pod. */
const PORT = 8080;
const SHOWN_MILLISECONDS = 500;
/** How long the reason for a broken connection may take to come by the log. */
const REASON_MILLISECONDS = 5_000;
const SHOWN_LEFT_OUT = 3;

interface Refusal {
  readonly error?: string;
  readonly remedy?: string;
}

/** What an import ends with. */
interface Imported {
  readonly name: string;
  /** Files of the zip that are no part of a backup. */
  readonly leftOut: readonly string[];
}

/** The pod that gives and takes backups. */
interface Server {
  /** @throws CommandError when it refuses. */
  ask(method: string, path: string, body?: Readable | string): Promise<http.IncomingMessage>;
  /** What it made, once it has ended by itself. */
  readonly made: Promise<Imported>;
}

const refused = ({ error, remedy }: Refusal, otherwise: string): CommandError => new CommandError(error ?? otherwise, remedy);

/** Tells now and then how bytes pass. */
export function meter(phase: string, onProgress: (text: string) => void): (bytes: number, totalBytes: number) => void {
  const start = Date.now();
  let told = 0;
  return (bytes, totalBytes) => {
    const now = Date.now();
    if (now - told < SHOWN_MILLISECONDS) return;
    told = now;
    const bytesPerSecond = Math.round((1000 * bytes) / Math.max(now - start, 1));
    onProgress(describePhase({ phase, status: 'progress', bytes, totalBytes, bytesPerSecond }));
  };
}

async function textOf(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

/**
 * Has a Job within the cluster give and take backups, for as long as they are used.
 *
 * @throws CommandError with why the Job failed, where it did.
 */
async function withServer<T>(
  cluster: Cluster,
  settings: Settings,
  cronJobName: string,
  { signal, onProgress }: RepositoryProps,
  use: (server: Server) => Promise<T>,
): Promise<T> {
  const { namespace } = settings;
  const cronJob = await findCronJob(cluster, settings, cronJobName);
  // Others who use this machine reach the forwarded port, too.
  const token = randomBytes(32).toString('base64url');
  const job = await startJob(cluster, cronJob, {
    suffix: `serve-${stamp()}`,
    args: ['serve'],
    env: { SERVE_TOKEN: token },
    backoffLimit: 0,
  });
  const done = new AbortController();
  const until = AbortSignal.any([signal, done.signal]);
  let refusal: Refusal | undefined;
  let imported: Imported | undefined;
  const heard = new EventEmitter();
  const onLine = (line: string): void => {
    const document = parseLine(line);
    if (document === undefined) return;
    if ('listening' in document) heard.emit('listening');
    if ('error' in document && !isPhase(document)) {
      refusal = document as Refusal;
      heard.emit('refusal');
    }
    if ('result' in document) imported = document.result as Imported;
    if (isPhase(document)) onProgress(describePhase(document));
  };
  const made = followJob(cluster, job, { signal: until, onLine, onProgress }).then(({ succeeded, problem }) => {
    if (succeeded && imported) return imported;
    throw refused(refusal ?? {}, problem || `Job/${job.metadata.name} ended before its work was done`);
  });
  made.catch(() => {});
  const close: (() => void)[] = [];
  try {
    await Promise.race([once(heard, 'listening'), made]);
    const [pod] = await podsOfJob(cluster, job);
    const target = { namespace, pod: pod?.metadata.name ?? '', port: PORT };
    const forwarded = await forward(cluster, async () => target, { ports: [0], onNotice: onProgress });
    close.push(() => forwarded.close());
    const ask = async (method: string, path: string, body?: Readable | string): Promise<http.IncomingMessage> => {
      const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
        const request = http.request(`${forwarded.url}${path}`, {
          method,
          signal,
          headers: {
            authorization: `Bearer ${token}`,
            ...(typeof body === 'string' && { 'content-length': Buffer.byteLength(body) }),
          },
        });
        request.on('response', resolve).on('error', reject);
        if (body instanceof Readable) pipeline(body, request).catch(reject);
        else request.end(body);
      });
      if ((response.statusCode ?? 0) < 400) return response;
      throw refused(JSON.parse(await textOf(response)) as Refusal, `the pod answers ${response.statusCode}`);
    };
    return await use({ ask, made }).catch(async error => {
      if (error instanceof CommandError || signal.aborted) throw error;
      // The log knows better than the connection what went wrong.
      if (!refusal) await Promise.race([once(heard, 'refusal'), made.catch(() => {}), sleep(REASON_MILLISECONDS, undefined, { signal })]);
      throw refused(refusal ?? {}, `The connection to Job/${job.metadata.name} broke off: ${(error as Error).message}`);
    });
  } finally {
    for (const each of close) each();
    done.abort(new Error('it is done'));
    await made.catch(() => {});
    await deleteJob(cluster, job);
  }
}

/** @throws CommandError when the file cannot be written. */
export async function refuseExisting(file: string, force = false): Promise<void> {
  const folder = dirname(file);
  const isFolder = await stat(folder).then(
    each => each.isDirectory(),
    () => false,
  );
  if (!isFolder) throw new CommandError(`There is no folder ${folder}`, 'make it, or give another path');
  const there = await stat(file).catch(() => undefined);
  if (there?.isDirectory()) throw new CommandError(`${file} is a folder`, 'give the path of the file in it');
  if (there && !force) throw new CommandError(`${file} is there already`, 'give another path, or --force to replace it');
}

export interface Exported {
  readonly name: string;
  readonly bytes: number;
  readonly seconds: number;
}

/**
 * Writes a backup as a zip. The file is there under its name once it is whole.
 *
 * @param wanted - Name of a backup, or `latest`.
 */
export function exportBackup(
  cluster: Cluster,
  settings: Settings,
  { wanted, file, signal, onProgress }: RepositoryProps & { wanted: string; file: string },
): Promise<Exported> {
  return withServer(cluster, settings, 'backup-repository', { signal, onProgress }, async ({ ask }) => {
    const response = await ask('GET', `/export/${encodeURIComponent(wanted)}`);
    const name = /filename="(.+)\.zip"/.exec(response.headers['content-disposition'] ?? '')?.[1] ?? wanted;
    const totalBytes = Number(response.headers['orfeas-bytes']);
    const part = `${file}.part`;
    const start = Date.now();
    const tell = meter('export', onProgress);
    let bytes = 0;
    const count = new Transform({
      transform(chunk: Buffer, _, next) {
        bytes += chunk.length;
        tell(bytes, Math.max(bytes, totalBytes));
        next(undefined, chunk);
      },
    });
    try {
      await pipeline(response, count, createWriteStream(part, { mode: 0o600, flush: true }), { signal }).catch(error => {
        // Its other errors are those of the connection.
        if ((error as NodeJS.ErrnoException).path === undefined && (error as NodeJS.ErrnoException).syscall !== 'write') throw error;
        throw new CommandError(`${part} cannot be written: ${error.message}`, 'give a path with enough room');
      });
      onProgress('check');
      await checkDirectory(part, signal);
      await rename(part, file);
      await syncFolder(dirname(file));
    } catch (error) {
      await rm(part, { force: true });
      throw error;
    }
    return { name, bytes, seconds: Math.round((Date.now() - start) / 100) / 10 };
  });
}

async function syncFolder(folder: string): Promise<void> {
  // Windows has no such thing.
  const handle = await open(folder, 'r').catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close();
}

/**
 * Makes a backup of a zip, in the repository; one that is there already is used when it is the same.
 *
 * @returns What came of it.
 */
export function importBackup(
  cluster: Cluster,
  settings: Settings,
  { zip, signal, onProgress }: RepositoryProps & { zip: ZippedBackup },
): Promise<Imported> {
  return withServer(cluster, settings, 'backup-import', { signal, onProgress }, async ({ ask, made }) => {
    const { name, created, manifest = null } = zip;
    const order = JSON.stringify({ name, created, manifest, entries: Object.fromEntries(zip.entries) });
    const { send } = JSON.parse(await textOf(await ask('POST', '/import', order))) as { send: boolean };
    if (send) await textOf(await ask('PUT', '/import', tarOf(zip, { signal, onProgress: meter('upload', onProgress) })));
    return made;
  });
}

/** What of a zip went into no backup, in a few words. */
export function describeLeftOut(leftOut: readonly string[]): string {
  if (leftOut.length === 0) return '';
  const more = leftOut.length > SHOWN_LEFT_OUT ? ` and ${leftOut.length - SHOWN_LEFT_OUT} more` : '';
  return `, without ${leftOut.slice(0, SHOWN_LEFT_OUT).join(', ')}${more}`;
}
