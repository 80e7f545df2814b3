import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { basename, posix } from 'node:path';
import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { pack } from 'tar-stream';
import { type Entry, openPromise, type ZipFile } from 'yauzl';
import { z } from 'zod';
import { CommandError } from './errors';
import { size, table } from './outcome';
import { parts } from './parts';

const MANIFEST = 'manifest.json';
const MANIFEST_BYTES = 2 ** 20;
/** At the root of every zip of a backup. */
const ROOTS = ['outputs', 'uploads', 'logs', 'models', 'monitoring', 'redis', 'config'];
const NAME = /orfeas_backup_(\d{4})(\d\d)(\d\d)_(\d\d)(\d\d)(\d\d)/;
const LINK_BYTES = 4096;
const BUFFER_BYTES = 2 ** 20;
/** Of the mode of a file, as Unix has it. */
const KIND = 0o170000;
const [LINK, FOLDER, FILE] = [0o120000, 0o040000, 0o100000] as const;
const UNIX = 3;

const manifestSchema = z.looseObject({
  format: z.int(),
  name: z.string().regex(NAME),
  created: z.iso.datetime(),
  namespace: z.string(),
  environment: z.string(),
  version: z.string(),
  parts: z.partialRecord(
    z.enum(parts),
    z.looseObject({ paths: z.record(z.string(), z.string()), files: z.int().min(0), bytes: z.int().min(0) }),
  ),
  missing: z.partialRecord(z.enum(parts), z.string()),
});

/** `manifest.json` of a zip: paths are those in it. */
type ZipManifest = z.infer<typeof manifestSchema>;

/** Size in bytes and CRC-32. */
export type Sums = readonly [bytes: number, crc: number];

/** A backup in a zip, which is as it should be. */
export interface ZippedBackup {
  readonly file: string;
  readonly name: string;
  /** ISO 8601. */
  readonly created: string;
  /** Absent in a zip of the Compose deployment. */
  readonly manifest?: ZipManifest;
  /** By name; of a link it is that of where it points to. */
  readonly entries: ReadonlyMap<string, Sums>;
  readonly bytes: number;
}

export interface ReadProps {
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number, totalBytes: number) => void;
}

const bad = (file: string, what: string): CommandError =>
  new CommandError(`${file} is no good: ${what}`, 'give a zip that orfeas backup export or backup.ps1 made, or make another copy of it');

async function open(file: string): Promise<ZipFile> {
  try {
    return await openPromise(file, { lazyEntries: true });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code) throw new CommandError(`${file} cannot be read: ${message}`, 'give the path of a zip');
    throw bad(file, message);
  }
}

const modeOf = ({ versionMadeBy, externalFileAttributes }: Entry): number =>
  versionMadeBy >> 8 === UNIX ? externalFileAttributes >>> 16 : 0;

function kindOf(entry: Entry): number {
  if (entry.fileName.endsWith('/')) return FOLDER;
  return modeOf(entry) & KIND || FILE;
}

async function read(zip: ZipFile, entry: Entry, limit: number): Promise<string> {
  if (entry.uncompressedSize > limit) throw new Error(`${entry.fileName} has ${size(entry.uncompressedSize)}`);
  const chunks: Buffer[] = [];
  for await (const chunk of await zip.openReadStreamPromise(entry)) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

/** Caches of models are made of links, each to a file of the same cache; nobody else needs one. */
function isWithinModels(name: string, target: string): boolean {
  const [models, cache] = name.split('/');
  const reached = posix.normalize(posix.join(posix.dirname(name), target));
  return models === 'models' && !posix.isAbsolute(target) && reached.startsWith(`${models}/${cache}/`);
}

/** What the reading of a zip, and nothing of the machine, is at fault for. */
const explain = (file: string, error: unknown): unknown =>
  error instanceof CommandError || (error as Error).name === 'AbortError' ? error : bad(file, (error as Error).message);

/**
 * Goes through the directory of a zip.
 *
 * @param visit - Told of each entry.
 * @throws CommandError when its directory is damaged, or leads out of the folder into which it is unpacked.
 */
async function walk(
  file: string,
  { signal }: Pick<ReadProps, 'signal'>,
  visit: (entry: Entry, zip: ZipFile) => Promise<void>,
): Promise<void> {
  const zip = await open(file);
  try {
    for await (const entry of zip.eachEntry()) {
      signal.throwIfAborted();
      await visit(entry, zip);
    }
  } catch (error) {
    throw signal.aborted ? signal.reason : explain(file, error);
  } finally {
    zip.close();
  }
}

function parseManifest(file: string, text: string): ZipManifest {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw bad(file, `its ${MANIFEST} is no JSON`);
  }
  const { success, data, error } = manifestSchema.safeParse(content);
  if (success) return data;
  throw bad(
    file,
    `its ${MANIFEST} is not that of a backup: ${error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ')}`,
  );
}

/** @throws CommandError when it has other files than its manifest says. */
function checkNumbers(file: string, { parts: described }: ZipManifest, files: ReadonlyMap<string, number>): void {
  for (const [part, { paths, files: count, bytes }] of Object.entries(described)) {
    const roots = Object.values(paths);
    const found = [...files].filter(([name]) => roots.some(root => `${name}/`.startsWith(`${root}/`)));
    const total = found.reduce((sum, [, each]) => sum + each, 0);
    if (found.length === count && total === bytes) continue;
    throw bad(file, `its ${MANIFEST} tells of ${count} files of ${part} with ${bytes} bytes, and it has ${found.length} with ${total}`);
  }
}

/**
 * Checks the directory of a zip that an export made against its manifest.
 *
 * @throws CommandError when it is not whole.
 */
export async function checkDirectory(file: string, signal: AbortSignal): Promise<void> {
  const files = new Map<string, number>();
  let manifest: ZipManifest | undefined;
  await walk(file, { signal }, async (entry, zip) => {
    if (entry.fileName === MANIFEST) manifest = parseManifest(file, await read(zip, entry, MANIFEST_BYTES));
    else if (kindOf(entry) === FILE) files.set(entry.fileName, entry.uncompressedSize);
  });
  if (manifest === undefined) throw bad(file, `it has no ${MANIFEST}`);
  checkNumbers(file, manifest, files);
}

/** When a zip without a manifest was made: its name tells, or what changed last in it. */
function nameOf(file: string, newest: Date): { name: string; created: string } {
  const [name, ...digits] = NAME.exec(basename(file)) ?? [];
  const [year, month, day, hours, minutes, seconds] = digits;
  const created = name ? new Date(`${year}-${month}-${day}T${hours}:${minutes}:${seconds}Z`) : newest;
  if (Number.isNaN(created.getTime())) throw new CommandError(`${name} names no time`, 'call the file orfeas_backup_YYYYMMDD_HHMMSS.zip');
  const text = `${created.toISOString().slice(0, 19)}Z`;
  return {
    name: name ?? `orfeas_backup_${text.slice(0, 10).replaceAll('-', '')}_${text.slice(11, 19).replaceAll(':', '')}`,
    created: text,
  };
}

/**
 * Reads a zip to its end.
 *
 * @throws CommandError unless it is the zip of a backup, whole, and safe to unpack.
 */
export async function checkZip(file: string, { signal, onProgress }: ReadProps): Promise<ZippedBackup> {
  const totalBytes = await stat(file).then(
    each => each.size,
    () => 0,
  );
  const entries = new Map<string, Sums>();
  const files = new Map<string, number>();
  let manifest: ZipManifest | undefined;
  let newest = new Date(0);
  let bytesRead = 0;
  await walk(file, { signal }, async (entry, zip) => {
    const { fileName: name, uncompressedSize } = entry;
    const kind = kindOf(entry);
    if (kind === FOLDER) return;
    if (kind !== FILE && kind !== LINK) throw bad(file, `${name} is neither a file nor a folder`);
    if (entries.has(name)) throw bad(file, `${name} is in it twice`);
    if (entry.isEncrypted()) throw bad(file, `${name} is encrypted`);
    if (name === MANIFEST) {
      manifest = parseManifest(file, await read(zip, entry, MANIFEST_BYTES));
      return;
    }
    if (kind === LINK) {
      const target = await read(zip, entry, LINK_BYTES);
      if (!isWithinModels(name, target)) throw bad(file, `${name} is a link to ${target}`);
    }
    let crc = 0;
    for await (const chunk of await zip.openReadStreamPromise(entry)) {
      signal.throwIfAborted();
      crc = crc32(chunk as Buffer, crc);
      bytesRead += (chunk as Buffer).length;
      onProgress(bytesRead, Math.max(bytesRead, totalBytes));
    }
    if (crc !== entry.crc32) throw bad(file, `${name} is damaged: its CRC-32 is another`);
    entries.set(name, [uncompressedSize, crc]);
    if (kind === FILE) files.set(name, uncompressedSize);
    const changed = entry.getLastModDate();
    if (changed > newest) newest = changed;
  });
  if (![...entries.keys()].some(name => ROOTS.includes(name.split('/')[0] as string))) {
    throw bad(file, `it has none of ${ROOTS.map(root => `${root}/`).join(', ')} at its root`);
  }
  const found = manifest as ZipManifest | undefined;
  if (found) checkNumbers(file, found, files);
  const bytes = [...entries.values()].reduce((total, [each]) => total + each, 0);
  return { file, ...(found ? { name: found.name, created: found.created, manifest: found } : nameOf(file, newest)), entries, bytes };
}

/** What is in it, for people. */
export function describeZip({ file, name, created, entries, bytes }: ZippedBackup): string {
  const rows = ROOTS.map(root => ({ root, sums: [...entries].filter(([path]) => path.startsWith(`${root}/`)).map(([, [each]]) => each) }))
    .filter(({ sums }) => sums.length > 0)
    .map(({ root, sums }) => [`  ${root}/`, `${sums.length}`, size(sums.reduce((total, each) => total + each, 0))]);
  return [`${file} has ${name} (${created}), ${size(bytes)}, and is whole:`, table([['  FOLDER', 'FILES', 'SIZE'], ...rows])].join('\n');
}

/** What is in the zip of a backup, as a tar. Its reader sets the pace. */
export function tarOf({ file, bytes: totalBytes }: ZippedBackup, { signal, onProgress }: ReadProps): Readable {
  const tar = pack({ highWaterMark: BUFFER_BYTES });
  let sent = 0;
  const pour = walk(file, { signal }, async (entry, zip) => {
    const kind = kindOf(entry);
    const mode = modeOf(entry) & 0o7777 || (kind === FOLDER ? 0o755 : 0o644);
    const header = { name: entry.fileName, mode, mtime: entry.getLastModDate() };
    if (header.name === MANIFEST) return;
    if (kind === FOLDER) tar.entry({ ...header, type: 'directory' });
    else if (kind === LINK) tar.entry({ ...header, type: 'symlink', linkname: await read(zip, entry, LINK_BYTES) });
    else {
      const sink = tar.entry({ ...header, size: entry.uncompressedSize });
      for await (const chunk of await zip.openReadStreamPromise(entry)) {
        if (!sink.write(chunk as Buffer)) await once(sink, 'drain', { signal });
        sent += (chunk as Buffer).length;
        onProgress(sent, totalBytes);
      }
      sink.end(undefined);
    }
  });
  pour.then(
    () => tar.finalize(),
    error => tar.destroy(error),
  );
  return Readable.from(tar);
}
