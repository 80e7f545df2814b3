// Measures what people notice of a backup, on a cluster where `local` runs: npx tsx bench/backup-load.ts [--mebibytes N] [--json]
//
// Run it on a node, whose processes may reach every pod. Asks web and the Ingress for /health in turn, 50 times a second, while a picture every
// two seconds is made into a model: without a backup, and during one of new data that does not shrink. All of it from this process: the start
// of another takes so much of two CPUs that answers wait for it.
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Cluster } from '../cli/cluster';
import { makeBackup } from '../cli/make-backup';
import { endpoint, exec, namespace, picture, settings } from '../test/cluster/support';
import { completed, submit } from './jobs-client';
import { median, percentile } from './measure';
import { askInTurn, paced, send, type Way, ways } from './ways';

const ROUNDS = 5;
const PACE_MILLISECONDS = 20;
const JOB_MILLISECONDS = 2000;
const QUIET_MILLISECONDS = 20_000;
/** As a browser has. More are opened where answers are late, and then their handshakes are what takes the time. */
const CONNECTIONS = 6;
const FILLER = '/app/models/hy3dgen/bench';

interface Figures {
  readonly models: number;
  /** How long each answer took, by way. */
  readonly milliseconds: readonly (readonly number[])[];
}

/** How /health was answered, and how many models were made, until something ends. */
async function during(all: readonly Way[], model: () => Promise<void>, until: Promise<unknown>): Promise<Figures> {
  const over = new AbortController();
  const ended = until.finally(() => over.abort());
  const [milliseconds, made] = await Promise.all([
    askInTurn(all, '/health', PACE_MILLISECONDS, over.signal),
    paced(JOB_MILLISECONDS, over.signal, model),
    ended,
  ]);
  return { models: made.length, milliseconds };
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { mebibytes: { type: 'string', default: '600' }, json: { type: 'boolean', default: false } } });
  const cluster = Cluster.connect();
  const backend = `http://${await endpoint(namespace, 'backend')}`;
  const body = await picture('PNG', 1024);
  const model = async () => completed(backend, await submit(backend, body));
  const backup = () => makeBackup(cluster, settings, { signal: new AbortController().signal, onProgress: () => {} });
  const inWorker = (script: string) => exec('deploy/backend', 'worker', 'sh', '-c', script);
  const [, ...all] = await ways();
  for (const way of all) {
    way.agent.maxSockets = CONNECTIONS;
    await Promise.all(Array.from({ length: CONNECTIONS }, () => send(way, '/health', 200)));
  }
  const [quiet, busy]: [Figures[], Figures[]] = [[], []];
  try {
    for (let round = 1; round <= ROUNDS; round++) {
      console.error(`round ${round} of ${ROUNDS}`);
      await inWorker(`head -c ${values.mebibytes}M /dev/urandom >${FILLER} && sync ${FILLER}`);
      quiet.push(await during(all, model, sleep(QUIET_MILLISECONDS)));
      busy.push(await during(all, model, backup()));
    }
  } finally {
    await inWorker(`rm -f ${FILLER}`);
    for (const { agent } of all) agent.destroy();
  }
  const result = all.map(({ name }, way) => {
    const [quietP99Milliseconds, busyP99Milliseconds] = [quiet, busy].map(rounds =>
      median(rounds.map(({ milliseconds }) => percentile(milliseconds[way] as readonly number[], 0.99))),
    ) as [number, number];
    return { way: name, quietP99Milliseconds, busyP99Milliseconds, ratio: busyP99Milliseconds / quietP99Milliseconds };
  });
  const [modelsWithout, modelsDuring] = [quiet, busy].map(rounds => rounds.reduce((sum, { models }) => sum + models, 0));
  if (values.json) console.log(JSON.stringify({ modelsWithout, modelsDuring, ways: result }, undefined, 2));
  else {
    console.table(result);
    console.log(`${modelsWithout} models were made without a backup, and ${modelsDuring} during one. No request failed.`);
  }
}

void main();
