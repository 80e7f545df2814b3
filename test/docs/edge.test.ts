import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Aspect, aspects, dialects, unsaid } from '../../config/edge';

const names = Object.keys(aspects) as Aspect[];

/** The table of docs/edge.md. */
const table = [
  `| Dialect | ${Object.values(aspects).join(' | ')} |`,
  `|---|${names.map(() => '---|').join('')}`,
  ...dialects.map(dialect => `| \`${dialect}\` | ${names.map(name => (unsaid[dialect][name] ? 'no' : 'yes')).join(' | ')} |`),
].join('\n');

const standIns = dialects
  .flatMap(dialect =>
    Object.entries(unsaid[dialect]).map(([aspect, standIn]) => `- \`${dialect}\`, ${aspects[aspect as Aspect]}: ${standIn}.`),
  )
  .join('\n');

test('docs/edge.md tells what stands in for what a dialect cannot say', () => {
  expect(readFileSync(join(__dirname, '../../docs/edge.md'), 'utf8')).toContain(standIns);
});

test('docs/edge.md tells what each dialect says itself', () => {
  expect(readFileSync(join(__dirname, '../../docs/edge.md'), 'utf8')).toContain(table);
});
