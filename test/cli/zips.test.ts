import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { extract } from 'tar-stream';
import { checkDirectory, checkZip, describeZip, tarOf } from '../../cli/zips';
import { compose, exported, writeZip, type ZippedFile, zipOf, zippedName } from './zip-files';

const props = { signal: new AbortController().signal, onProgress: () => {} };
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'orfeas-'));
});
afterEach(() => rmSync(folder, { recursive: true }));
const zip = (files: readonly ZippedFile[], name = 'studio.zip') => writeZip(join(folder, name), files);

test('a zip that an export made is what its manifest says', async () => {
  const found = await checkZip(zip(exported()), props);
  expect(found).toMatchObject({ name: zippedName, created: '2026-01-01T03:00:00Z', manifest: { namespace: 'orfeas-local' }, bytes: 30 });
  expect(Object.fromEntries(found.entries)).toMatchObject({ 'outputs/a.glb': [4, crc32('mesh')] });
  expect([...found.entries.keys()]).not.toContain('manifest.json');
  expect(describeZip(found)).toMatch(/is whole:\n {2}FOLDER {4}FILES {2}SIZE\n {2}outputs\/ {2}1 {6}4 B\n/);
});

test('a zip of the Compose deployment, made on Windows, has the name and the time of its file', async () => {
  const found = await checkZip(zip(compose, 'orfeas_backup_20251017_120000.zip'), props);
  expect(found).toMatchObject({ name: 'orfeas_backup_20251017_120000', created: '2025-10-17T12:00:00Z' });
  expect([...found.entries.keys()]).toEqual(['outputs/a.glb', 'config/.env.production']);
});

test('of another name it has those of what changed last in it', async () => {
  const found = await checkZip(zip(compose), props);
  const created = new Date(2026, 0, 1).toISOString().slice(0, 19);
  expect(found).toMatchObject({ name: `orfeas_backup_${created.replace(/[-:]/g, '').replace('T', '_')}`, created: `${created}Z` });
});

const hostile = (name: string, more: Partial<ZippedFile> = {}): ZippedFile[] => [...compose, { name, content: 'x', ...more }];
test.each<[string, readonly ZippedFile[], RegExp]>([
  ['with a file above its root', hostile('outputs/../../etc/passwd'), /invalid relative path: outputs\/\.\.\/\.\.\/etc\/passwd/],
  ['with a file above its root, as Windows has it', hostile('..\\passwd'), /invalid relative path/],
  ['with an absolute path', hostile('/etc/passwd'), /absolute path: \/etc\/passwd/],
  ['with a drive', hostile('C:\\passwd'), /absolute path/],
  ['with a link', hostile('outputs/a', { content: '/etc/passwd', mode: 0o120777 }), /outputs\/a is a link to \/etc\/passwd/],
  ['with a link from models to elsewhere', hostile('models/huggingface/a', { content: '../../outputs', mode: 0o120777 }), /is a link to/],
  ['with a device', hostile('outputs/null', { mode: 0o020666 }), /outputs\/null is neither a file nor a folder/],
  ['with a file of another sum', hostile('outputs/b', { crc: 7 }), /outputs\/b is damaged: its CRC-32 is another/],
  ['with an encrypted file', hostile('outputs/b', { flags: 1 }), /is no good/],
  ['with a file twice', hostile('outputs/a.glb'), /outputs\/a\.glb is in it twice/],
  ['of something else', [{ name: 'holidays/beach.jpg' }], /none of outputs\/, uploads\//],
  [
    'that lost a file',
    exported().filter(({ name }) => name !== 'uploads/a.png'),
    /tells of 2 files of outputs with 9 bytes, and it has 1 with 4/,
  ],
  ['with a manifest of something else', exported({ name: 'holidays' }), /its manifest\.json is not that of a backup: name: /],
  ['with a manifest that is no JSON', [{ name: 'manifest.json', content: '{' }, ...compose], /its manifest\.json is no JSON/],
])('a zip %s is refused', async (_, files, message) => {
  await expect(checkZip(zip(files), props)).rejects.toMatchObject({ name: 'CommandError', message: expect.stringMatching(message) });
});

test('what is no zip, a part of one, or not there is refused', async () => {
  const file = join(folder, 'a.zip');
  await expect(checkZip(file, props)).rejects.toThrow(/a\.zip cannot be read: ENOENT/);
  writeFileSync(file, 'a text');
  await expect(checkZip(file, props)).rejects.toThrow(/a\.zip is no good: End of central directory record signature not found/);
  writeFileSync(file, zipOf(exported()).subarray(0, -30));
  await expect(checkZip(file, props)).rejects.toThrow(/a\.zip is no good/);
});

test('an export is whole when its directory is what its manifest says', async () => {
  await expect(checkDirectory(zip(exported()), props.signal)).resolves.toBeUndefined();
  await expect(checkDirectory(zip(exported().slice(0, -2)), props.signal)).rejects.toThrow(/of models with 7 bytes, and it has 0 with 0/);
  await expect(checkDirectory(zip(compose), props.signal)).rejects.toThrow('it has no manifest.json');
});

test('as a tar it has the same files, modes and links, and no manifest', async () => {
  const large = Buffer.alloc(3_000_000, 'large');
  const files = [
    ...exported().slice(1),
    { name: 'outputs/large', content: large },
    { name: `outputs/${'long'.repeat(60)}/ß`, content: '' },
  ];
  const found = await checkZip(zip(files), props);
  const entries: Record<string, unknown> = {};
  for await (const entry of tarOf(found, props).pipe(extract() as unknown as NodeJS.ReadWriteStream) as unknown as ReturnType<
    typeof extract
  >) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    const { name, mode, type, linkname } = entry.header;
    entries[name] = [type, type === 'symlink' ? linkname : crc32(Buffer.concat(chunks)), mode];
  }
  expect(entries).toEqual({
    'outputs/': ['directory', 0, 0o2770],
    'outputs/a.glb': ['file', crc32('mesh'), 0o640],
    'uploads/a.png': ['file', crc32('image'), 0o644],
    'models/huggingface/blobs/1f': ['file', crc32('weights'), 0o644],
    'models/huggingface/snapshots/x/weights': ['symlink', '../../blobs/1f', 0o777],
    'outputs/large': ['file', crc32(large), 0o644],
    [`outputs/${'long'.repeat(60)}/ß`]: ['file', 0, 0o644],
  });
});

test('a zip that is damaged while it is sent breaks the tar off', async () => {
  const files = [...compose, { name: 'outputs/b', content: 'x' }];
  const found = await checkZip(zip(files), props);
  writeFileSync(found.file, zipOf(files).subarray(0, -60));
  await expect(tarOf(found, props).toArray()).rejects.toThrow(/is no good/);
});
