import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../root';

/** A checkout of its own with other settings, as an operator would have after an edit: of `file`, with each text replaced. */
export function checkoutWith(file: string, changes: Readonly<Record<string, string>>): { folder: string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'orfeas-'));
  cpSync(ROOT, folder, { recursive: true, filter: path => !/\/(node_modules|\.git|\.venv|\.synth)$/.test(path) });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  const path = join(folder, file);
  let content = readFileSync(path, 'utf8');
  for (const [from, to] of Object.entries(changes)) {
    if (!content.includes(from)) throw new Error(`${file} has no ${from}`);
    content = content.replace(from, to);
  }
  writeFileSync(path, content);
  return { folder, remove: () => rmSync(folder, { recursive: true }) };
}
