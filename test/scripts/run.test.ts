import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const ROOT = join(__dirname, '../..');
const WHEN = new Date('2026-01-01');
const project = mkdtempSync(join(tmpdir(), 'orfeas-run-'));
const cache = join(project, 'node_modules/.cache/run/main-ts');

/** Of one size and time whatever it says. */
async function write(file: string, text: string) {
  writeFileSync(join(project, file), text);
  utimesSync(join(project, file), WHEN, WHEN);
  // What changes while it is bundled is not bundled.
  await sleep(20);
}

const run = (...args: string[]): string =>
  execFileSync(process.execPath, ['scripts/run.js', 'main.ts', ...args], { cwd: project, stdio: 'pipe' }).toString();

beforeAll(async () => {
  mkdirSync(join(project, 'node_modules'));
  mkdirSync(join(project, 'scripts'));
  for (const name of ['esbuild', 'tsx']) symlinkSync(join(ROOT, 'node_modules', name), join(project, 'node_modules', name));
  for (const file of ['scripts/run.js', 'tsconfig.json']) cpSync(join(ROOT, file), join(project, file));
  await write('main.ts', "import { word } from './word';\nconsole.log(word, process.argv.slice(2).join());\n");
  await write('word.ts', "export const word: string = 'one';\n");
});
afterAll(() => rmSync(project, { recursive: true }));

test('a program runs with its arguments, and again from what was kept of it', () => {
  expect(run('a', 'b')).toBe('one a,b\n');
  const kept = readdirSync(cache);
  expect(kept).toHaveLength(3);
  expect(run('c')).toBe('one c\n');
  expect(readdirSync(cache)).toEqual(kept);
});

test('a changed source counts, though its size and time are the same', async () => {
  await write('word.ts', "export const word: string = 'two';\n");
  expect(run()).toBe('two \n');
  expect(readdirSync(cache)).toHaveLength(3);
});

test('a new source counts that comes before another of its name', async () => {
  rmSync(join(project, 'word.ts'));
  mkdirSync(join(project, 'word'));
  await write('word/index.ts', "export const word: string = 'six';\n");
  expect(run()).toBe('six \n');
  await write('word.ts', "export const word: string = 'ten';\n");
  expect(run()).toBe('ten \n');
});

test('an error names the line of the source', async () => {
  await write('word.ts', "\n\nthrow new Error('no word');\n");
  expect(run).toThrow(/word\.ts:3/);
});

test('it runs where nothing can be kept', async () => {
  await write('word.ts', "export const word: string = 'one';\n");
  rmSync(join(project, 'node_modules/.cache'), { recursive: true });
  writeFileSync(join(project, 'node_modules/.cache'), '');
  expect(run()).toBe('one \n');
});
