// Measures how long synthesis takes: npx tsx bench/synthesis.ts [--runs N] [--json]
//
// The whole command that cdk8s.yaml names is compared with `helm template` of one chart of the same objects, and timed for more and more
// studios.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { load, loadAll } from 'js-yaml';
import type { Manifest } from '../policy/rules';
import { ROOT } from '../root';
import { synthesize } from '../synth';
import { helm } from './helm';
import { writeHelmChart } from './helm-chart';
import { type Command, machine, medians, sideBySide, slope, type Times, time } from './measure';
import type { SynthesisResult } from './synthesis-result';

const MAX_RATIO = 1.5;
const MAX_MILLISECONDS_PER_OBJECT = 1.5;
const STUDIOS = [1, 25, 50, 75, 100];

const { values } = parseArgs({ options: { runs: { type: 'string', default: '11' }, json: { type: 'boolean', default: false } } });
const runs = Number(values.runs);

function digest(folder: string): string {
  const hash = createHash('sha256');
  for (const path of readdirSync(folder, { recursive: true }).map(String).sort())
    if (/\.(yaml|txt)$/.test(path)) hash.update(`${path}\n`).update(readFileSync(join(folder, path)));
  return hash.digest('hex');
}

const title = ({ kind, metadata }: Manifest): string => [metadata.namespace, kind, metadata.name].join('/');

/** @throws unless the chart gives the very objects */
function compare(text: string, manifests: readonly Manifest[]): void {
  const templated = new Map((loadAll(text) as (Manifest | null)[]).flatMap(object => (object ? [[title(object), object]] : [])));
  const other = manifests.find(manifest => !isDeepStrictEqual(templated.get(title(manifest)), manifest));
  if (other ?? templated.size !== manifests.length)
    throw new Error(`the chart gives another ${other ? title(other) : 'number of objects'}`);
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'synthesis-'));
  try {
    process.chdir(ROOT);
    const chart = join(folder, 'chart');
    const studios = synthesize(join(folder, 'studios'));
    writeHelmChart(chart, studios);
    const template = [await helm(), 'template', 'studio', chart] as const;
    const manifests = studios.flatMap(({ manifests }) => manifests);
    compare(execFileSync(template[0], template.slice(1), { maxBuffer: 2 ** 28 }).toString(), manifests);

    const { app } = load(readFileSync('cdk8s.yaml', 'utf8')) as { app: string };
    const synthesis: Command = { name: app, run: app.split(' ') as [string, ...string[]] };
    const before = digest('dist');
    const [synthesized, templated] = sideBySide(runs, [
      synthesis,
      { name: 'helm template', run: [...template, '--output-dir', join(folder, 'templated')] },
    ]) as [Times, Times];
    const same = digest('dist') === before;

    const objectsOfStudio = studios.find(({ environment }) => environment === 'production')?.manifests.length as number;
    const growth = STUDIOS.map(number => {
      const run = ['node', 'scripts/run.js', 'bench/studios.ts', String(number), join(folder, 'growth')] as const;
      return { objects: number * objectsOfStudio, ...medians([0, 1, 2].map(() => time({ name: 'studios', run }))) };
    });
    const points = growth.map(({ objects, processorMilliseconds }) => [objects, processorMilliseconds] as const);
    const perObject = slope(points);
    const result: SynthesisResult = {
      conditions: {
        machine: machine(),
        helm: execFileSync(template[0], ['version', '--short']).toString().trim(),
        objects: manifests.length,
        runs,
      },
      targets: { ratio: MAX_RATIO, millisecondsPerObject: MAX_MILLISECONDS_PER_OBJECT },
      app,
      synthesis: synthesized,
      helmTemplate: templated,
      ratio: synthesized.milliseconds / templated.milliseconds,
      processorRatio: synthesized.processorMilliseconds / templated.processorMilliseconds,
      growth,
      millisecondsPerObject: perObject,
      bend: slope(points.slice(-3)) / slope(points.slice(0, 3)),
      sameBytes: same,
    };
    if (values.json) console.log(JSON.stringify(result, undefined, 2));
    else {
      console.log(
        `${result.conditions.machine}, helm ${result.conditions.helm}, ${manifests.length} objects, medians of ${runs} runs in turn`,
      );
      console.table({ [app]: synthesized, 'helm template': templated });
      console.log(`ratio ${result.ratio.toFixed(2)} (at most ${MAX_RATIO}), of processor time ${result.processorRatio.toFixed(2)}`);
      console.table(result.growth);
      console.log(
        `${perObject.toFixed(2)} ms for each further object (at most ${MAX_MILLISECONDS_PER_OBJECT}), bend ${result.bend.toFixed(2)}`,
      );
      console.log(same ? 'the same bytes every time' : 'other bytes than before');
    }
    if (result.ratio > MAX_RATIO || perObject > MAX_MILLISECONDS_PER_OBJECT || !same) process.exitCode = 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

void main();
