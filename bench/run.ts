// Runs the benches that need no cluster, and writes docs/performance.md: npm run bench
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../root';
import type { SynthesisResult } from './synthesis-result';

function result<T>(bench: string): T {
  const { stdout } = spawnSync(process.execPath, ['--import', 'tsx', `bench/${bench}.ts`, '--json'], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return JSON.parse(stdout.toString());
}

const whole = (value: number): string => Math.round(value).toLocaleString('en');

function synthesisSection(bench: SynthesisResult): string {
  const { conditions, app, synthesis, helmTemplate, growth } = bench;
  const row = (...cells: string[]) => `| ${cells.join(' | ')} |`;
  return `## Synthesis

\`npx tsx bench/synthesis.ts\` times the whole command that \`cdk8s.yaml\` names, for all environments, against \`helm template\` of one chart
of the same ${conditions.objects} objects, whose templates take names, images, resources and labels from values and helpers. Both write their files.
They run in turn; these are medians of ${conditions.runs} runs.

| | Time, ms | Processor time, ms |
|---|---|---|
${row(`\`${app}\``, whole(synthesis.milliseconds), whole(synthesis.processorMilliseconds))}
${row('`helm template`', whole(helmTemplate.milliseconds), whole(helmTemplate.processorMilliseconds))}
${row('ratio', bench.ratio.toFixed(2), bench.processorRatio.toFixed(2))}

One command for more and more studios, each with all its objects:

| Objects | Time, ms | Processor time, ms |
|---|---|---|
${growth.map(({ objects, milliseconds, processorMilliseconds }) => row(whole(objects), whole(milliseconds), whole(processorMilliseconds))).join('\n')}

| What | Measured | Target |
|---|---|---|
| Time against \`helm template\` | ${bench.ratio.toFixed(2)} | at most ${bench.targets.ratio} |
| Processor time against \`helm template\` | ${bench.processorRatio.toFixed(2)} | at most ${bench.targets.ratio} |
| Processor time of each further object | ${bench.millisecondsPerObject.toFixed(2)} ms | at most ${bench.targets.millisecondsPerObject} ms |
| The same among many objects as among few | ${bench.bend.toFixed(2)} | about 1 |
| Bytes of \`dist/\` | ${bench.sameBytes ? 'the same every time' : 'changed'} | the same every time |

The first run after a source has changed bundles and compiles them, and takes longer: \`scripts/run.js\`.
`;
}

const synthesis = result<SynthesisResult>('synthesis');
writeFileSync(
  join(ROOT, 'docs/performance.md'),
  `# Performance

Written by \`npm run bench\`. Compare ratios, not times: a time is that of one machine and of what else it did.

Measured on ${synthesis.conditions.machine}, Helm ${synthesis.conditions.helm}.

${synthesisSection(synthesis)}`,
);
