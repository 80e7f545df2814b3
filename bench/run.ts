// Runs the benches and writes docs/performance.md: npm run bench [-- NAME…]
//
// All but `synthesis` need a cluster whose node this machine is. In turn they find what they need: `deployment` a cluster with the images and
// without `local`, the others `local`, and `requests` wrk in the PATH. What is not named keeps its section.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../root';
import type { DeploymentResult } from './deployment';
import type { JobsResult } from './jobs';
import { machine } from './measure';
import type { RequestsResult } from './requests';
import type { SynthesisResult } from './synthesis-result';

/** @throws where a bench has no result. One that misses its target has one. */
function result<T>(bench: string): T {
  console.error(bench);
  const { stdout } = spawnSync(process.execPath, ['--import', 'tsx', `bench/${bench}.ts`, '--json'], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (stdout.length === 0) throw new Error(`bench/${bench}.ts did not come to its end`);
  return JSON.parse(stdout.toString());
}

const whole = (value: number): string => Math.round(value).toLocaleString('en');
const row = (...cells: readonly string[]): string => `| ${cells.join(' | ')} |`;

function synthesisSection(bench: SynthesisResult): string {
  const { conditions, app, synthesis, helmTemplate, growth } = bench;
  return `## Synthesis

\`npx tsx bench/synthesis.ts\` times the whole command that \`cdk8s.yaml\` names, for all environments, against \`helm template\` of one chart
of the same ${conditions.objects} objects, whose templates take names, images, resources and labels from values and helpers. Both write their files.
They run in turn; these are medians of ${conditions.runs} runs, with Helm ${conditions.helm}.

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

function deploymentSection({ conditions, slowestPod, ...bench }: DeploymentResult): string {
  return `## Deployment

\`npx tsx bench/deployment.ts\` deploys \`local\` into a namespace that has its Secrets and nothing else, in turn by \`orfeas deploy\` and by
\`kubectl apply -f dist/local\` with \`kubectl rollout status\` of each workload; images are on the node. Beside it is what no way of deploying
changes: how long the slowest pod takes to be ready after its first container was started. Medians of ${conditions.runs} runs.

| | Seconds |
|---|---|
${row('`orfeas deploy`, which also checks and plans before, and asks for the health after', bench.orfeasSeconds.toFixed(1))}
${row('`kubectl apply`', bench.kubectlSeconds.toFixed(1))}
${row(`start of ${slowestPod}`, bench.slowestPodSeconds.toFixed(1))}

\`orfeas deploy\` takes ${bench.ratio.toFixed(2)} of the time of \`kubectl apply\`, and ${bench.ofSlowestPod.toFixed(2)} of the slowest pod's start.
`;
}

function requestsSection({ conditions, targets, rows, p99OfBackend, throughputOfBareNginx }: RequestsResult): string {
  const base = (what: string) => rows.find(row => row.what === what) as (typeof rows)[number];
  return `## Requests

\`npx tsx bench/requests.ts\` sends the same requests to the backend itself, to web, and through the Ingress, with rate limits off: at a pace of
${conditions.pacedPerSecond} a second for ${conditions.pacedSeconds} s, by each way in turn, which leaves no queue; and *at once* from ${conditions.connections} connections that never wait, for ${conditions.phaseSeconds} s. The file is
also served by a bare nginx: the same binary in a pod of the same size, with the configuration that comes with nginx. ${conditions.uploads} uploads are files of
50 MiB, refused as damaged pictures once all of each has come, from one client; a message asks for a job's state, from ${conditions.sockets} WebSockets that never
wait. Medians of ${conditions.rounds} rounds; ratios are to the first row of each kind.

| What | Way | A second | Median, ms | 99th percentile, ms | Throughput, ratio | 99th percentile, ratio |
|---|---|---|---|---|---|---|
${rows
  .map(({ what, way, perSecond, p50Milliseconds, p99Milliseconds }) =>
    row(
      what,
      way,
      perSecond < 100 ? perSecond.toFixed(1) : whole(perSecond),
      p50Milliseconds.toFixed(2),
      p99Milliseconds.toFixed(2),
      (perSecond / base(what).perSecond).toFixed(2),
      (p99Milliseconds / base(what).p99Milliseconds).toFixed(2),
    ),
  )
  .join('\n')}

| What | Measured | Target |
|---|---|---|
${row("99th percentile of a small answer through web, against the backend's own", p99OfBackend.toFixed(2), `at most ${targets.p99OfBackend}`)}
${row('Files that web serves, against bare nginx', throughputOfBareNginx.toFixed(2), `at least ${targets.throughputOfBareNginx}`)}
`;
}

function jobsSection({ conditions, studioAnHour, engineAnHour, ratio }: JobsResult): string {
  return `## Jobs

\`npx tsx bench/jobs.ts\` has ${conditions.jobs} pictures made into models by the engine \`${conditions.engine}\`: as jobs through the API and the queue until
all are completed, and straight by the engine in the same container, ${conditions.atOnce} at once as the worker does. Medians of ${conditions.rounds} rounds.

| | An hour |
|---|---|
${row('jobs', whole(studioAnHour))}
${row('models by the engine alone', whole(engineAnHour))}
${row('ratio', ratio.toFixed(2))}

A job also takes a picture in, decodes it, checks the mesh and writes the file.
`;
}

const benches = {
  synthesis: () => synthesisSection(result('synthesis')),
  deployment: () => deploymentSection(result('deployment')),
  requests: () => requestsSection(result('requests')),
  jobs: () => jobsSection(result('jobs')),
};
const names = Object.keys(benches) as (keyof typeof benches)[];

const page = join(ROOT, 'docs/performance.md');
const [, ...present] = readFileSync(page, 'utf8').split(/^(?=## )/m);
const wanted = process.argv.slice(2);
const unknown = wanted.find(name => !names.some(known => known === name));
if (unknown !== undefined) {
  console.error(`There is no bench ${unknown}: name some of ${names.join(', ')}, or none for all`);
  process.exit(1);
}
const sections = names.map((name, index) => (wanted.length === 0 || wanted.includes(name) ? benches[name]() : present[index]));
writeFileSync(
  page,
  `# Performance

Written by \`npm run bench\`. Compare ratios, not times: a time is that of one machine and of what else it did.

Measured on ${machine()}. The cluster's one node is the same machine, and so is the client.

${sections.map(section => section?.trimEnd()).join('\n\n')}
`,
);
