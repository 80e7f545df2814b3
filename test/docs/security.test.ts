import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const DOCS = join(__dirname, '../../docs');
const page = readFileSync(join(DOCS, 'security.md'), 'utf8');
const proofs = [...page.matchAll(/\[([^\]]+)\]\((\.\.\/[^)]+\.(?:ts|py))\)/g)].map(([, test, file]) => ({ test, file }));

test.each(proofs)('$file has "$test", which docs/security.md names', ({ test, file }) => {
  expect(readFileSync(join(DOCS, file ?? ''), 'utf8')).toContain(test);
});

test('every attack has a test', () => {
  const attacks = page.slice(page.indexOf('## Attacks'), page.indexOf('## What is not stopped'));
  const rows = attacks.split('\n').filter(line => line.startsWith('| ') && !line.startsWith('| Attack'));
  expect(rows.length).toBeGreaterThan(15);
  expect(rows.filter(row => !/\]\(\.\.\/[^)]+\.(ts|py)\) \|$/.test(row))).toEqual([]);
});
