// Measures how many pictures an hour become models, on a cluster where `local` runs: npx tsx bench/jobs.ts [--jobs N] [--json]
//
// Run it on a node, whose processes may reach every pod. The same pictures go, in turn, straight to the engine, in the worker's container and
// with as many at once as the worker has, and as jobs through the API and the queue until all are completed.
import { parseArgs } from 'node:util';
import { endpoint, kubectl, namespace, picture, settings } from '../test/cluster/support';
import { completed, submit } from './jobs-client';
import { median } from './measure';

export interface JobsResult {
  readonly conditions: { readonly rounds: number; readonly jobs: number; readonly atOnce: number; readonly engine: string };
  readonly studioAnHour: number;
  readonly engineAnHour: number;
  readonly ratio: number;
}

const ROUNDS = 3;
const SIDE_PIXELS = 1024;
/** Uploads under way at once. */
const SENDERS = 4;

const ENGINE = `
import json, os, sys, tempfile, time
from concurrent.futures import ThreadPoolExecutor
from PIL import Image
os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp()
from orfeas import engines, settings
current = settings.load()
engine = engines.create(current)
engine.load()
picture = Image.open(sys.stdin.buffer)
picture.load()
begin = time.perf_counter()
with ThreadPoolExecutor(current.max_concurrent_jobs) as pool:
    list(pool.map(lambda _: engine.generate(picture, current.default_steps, True, lambda _: None), range(int(sys.argv[1]))))
print(time.perf_counter() - begin)`;

async function engineSeconds(jobs: number, body: Buffer): Promise<number> {
  const worker = ['exec', '-i', 'deploy/backend', '-c', 'worker', '--', 'python', '-c', ENGINE, `${jobs}`];
  return Number(await kubectl(['-n', namespace, ...worker], body));
}

async function studioSeconds(backend: string, jobs: number, body: Buffer): Promise<number> {
  const begin = performance.now();
  let sent = 0;
  const send = async (): Promise<string[]> => {
    const ids: string[] = [];
    while (sent++ < jobs) ids.push(await submit(backend, body));
    return ids;
  };
  const ids = (await Promise.all(Array.from({ length: SENDERS }, send))).flat();
  for (const id of ids) await completed(backend, id);
  return (performance.now() - begin) / 1000;
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { jobs: { type: 'string', default: '40' }, json: { type: 'boolean', default: false } } });
  const jobs = Number(values.jobs);
  const body = await picture('PNG', SIDE_PIXELS);
  const backend = `http://${await endpoint(namespace, 'backend')}`;
  const [engine, studio]: [number[], number[]] = [[], []];
  for (let round = 1; round <= ROUNDS; round++) {
    console.error(`round ${round} of ${ROUNDS}`);
    engine.push(await engineSeconds(jobs, body));
    studio.push(await studioSeconds(backend, jobs, body));
  }
  const [engineAnHour, studioAnHour] = [engine, studio].map(seconds => (3600 * jobs) / median(seconds)) as [number, number];
  const { concurrentJobs: atOnce } = settings.gpu;
  const result: JobsResult = {
    conditions: { rounds: ROUNDS, jobs, atOnce, engine: settings.model.engine },
    studioAnHour,
    engineAnHour,
    ratio: studioAnHour / engineAnHour,
  };
  if (values.json) console.log(JSON.stringify(result, undefined, 2));
  else {
    console.log(
      `${Math.round(studioAnHour)} jobs an hour, and ${Math.round(engineAnHour)} by the engine alone: ${result.ratio.toFixed(2)} of it`,
    );
  }
}

void main();
