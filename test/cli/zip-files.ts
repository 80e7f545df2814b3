import { writeFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';

export interface ZippedFile {
  readonly name: string;
  readonly content?: string | Buffer;
  /** As Unix has it, with the kind of file. */
  readonly mode?: number;
  readonly changed?: Date;
  /** What its CRC-32 is said to be. */
  readonly crc?: number;
  readonly flags?: number;
}

function dosTime(date: Date): number {
  const day = ((date.getFullYear() - 1980) << 9) | ((date.getMonth() + 1) << 5) | date.getDate();
  return ((day << 16) | (date.getHours() << 11) | (date.getMinutes() << 5) | (date.getSeconds() >> 1)) >>> 0;
}

/** A zip with any names and modes, right or wrong, which no library would make. */
export function zipOf(files: readonly ZippedFile[]): Buffer {
  const locals: Buffer[] = [];
  const centrals: Buffer[] = [];
  let offset = 0;
  for (const { name, content = '', mode = 0o100644, changed = new Date(2026, 0, 1), crc, flags = 0 } of files) {
    const path = Buffer.from(name);
    const data = Buffer.from(content);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(flags | 0x800, 2);
    common.writeUInt32LE(dosTime(changed), 6);
    common.writeUInt32LE(crc ?? crc32(data), 10);
    common.writeUInt32LE(data.length, 14);
    common.writeUInt32LE(data.length, 18);
    common.writeUInt16LE(path.length, 22);
    const local = Buffer.concat([Buffer.from('PK\u0003\u0004'), common, path, data]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE((mode << 16) >>> 0, 6);
    rest.writeUInt32LE(offset, 10);
    centrals.push(Buffer.concat([Buffer.from('PK\u0001\u0002'), Buffer.of(20, 3), common, rest, path]));
    locals.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(centrals);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(files.length, 4);
  end.writeUInt16LE(files.length, 6);
  end.writeUInt32LE(directory.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...locals, directory, Buffer.from('PK\u0005\u0006'), end]);
}

export function writeZip(file: string, files: readonly ZippedFile[]): string {
  writeFileSync(file, zipOf(files));
  return file;
}

export const zippedName = 'orfeas_backup_20260101_030000';

/** As an export makes it. */
export const exported = (changes: object = {}): ZippedFile[] => [
  {
    name: 'manifest.json',
    content: JSON.stringify({
      format: 1,
      name: zippedName,
      created: '2026-01-01T03:00:00Z',
      namespace: 'orfeas-local',
      environment: 'local',
      version: '0.1.0',
      parts: {
        outputs: { paths: { outputs: 'outputs', uploads: 'uploads' }, files: 2, bytes: 9 },
        models: { paths: { huggingface: 'models/huggingface' }, files: 1, bytes: 7 },
      },
      missing: {},
      ...changes,
    }),
  },
  { name: 'outputs/', mode: 0o042770 },
  { name: 'outputs/a.glb', content: 'mesh', mode: 0o100640 },
  { name: 'uploads/a.png', content: 'image' },
  { name: 'models/huggingface/blobs/1f', content: 'weights' },
  { name: 'models/huggingface/snapshots/x/weights', content: '../../blobs/1f', mode: 0o120777 },
];

/** As backup.ps1 makes it, on Windows. */
export const compose: readonly ZippedFile[] = [
  { name: 'outputs\\a.glb', content: 'mesh', mode: 0 },
  { name: 'config\\.env.production', content: 'SECRET_KEY=x', mode: 0, changed: new Date(2025, 9, 17) },
];
