// Measures what people notice of a backup, on a cluster where `local` runs: npx tsx bench/backup-load.ts [--mebibytes N] [--json]
//
// Asks for /health through the Ingress, 20 times a second, while pictures are made into models: first without a backup, then during one of new
// data that does not shrink. Compares the 99th percentiles, and counts the models.
import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { Cluster } from '../cli/cluster';
import { Studio } from '../cli/http';
import { trustedCertificates } from '../cli/tls';
import { loadSettings } from '../config';
import { percentile } from './measure';

const PACE_MILLISECONDS = 50;
const SMOKE_MILLISECONDS = 8000;
const QUIET_SECONDS = 40;
const FILLER = '/app/models/hy3dgen/bench';

const { values } = parseArgs({ options: { mebibytes: { type: 'string', default: '600' }, json: { type: 'boolean', default: false } } });
const settings = loadSettings('local');
const root = join(__dirname, '..');
const inWorker = (script: string) =>
  execFileSync('kubectl', ['-n', settings.namespace, 'exec', 'deploy/backend', '-c', 'worker', '--', 'sh', '-c', script]);
const orfeas = (command: string) =>
  promisify(execFile)(process.execPath, ['cli/bin.js', command, '--env', 'local', '--json'], { cwd: root });

/** Milliseconds that /health took, and models that were made, until something ends. */
async function measure(studio: Studio, until: Promise<unknown>) {
  const milliseconds: number[] = [];
  let [models, failures, ended] = [0, 0, false];
  const over = until.finally(() => {
    ended = true;
  });
  const ask = async () => {
    while (!ended) {
      const start = performance.now();
      const { status } = await studio.request('GET', '/health');
      if (status !== 200) failures++;
      milliseconds.push(performance.now() - start);
      await sleep(Math.max(0, PACE_MILLISECONDS - (performance.now() - start)));
    }
  };
  const make = async () => {
    while (!ended) {
      await orfeas('smoke');
      models++;
      // Within the limit of one address.
      await sleep(SMOKE_MILLISECONDS);
    }
  };
  await Promise.all([over, ask(), make()]);
  const rounded = (share: number): number => Math.round(10 * percentile(milliseconds, share)) / 10;
  return { requests: milliseconds.length, failures, models, p50: rounded(0.5), p99: rounded(0.99) };
}

async function main(): Promise<void> {
  const studio = new Studio({ host: settings.host, ...(await trustedCertificates(Cluster.connect(), settings)) });
  try {
    inWorker(`head -c ${values.mebibytes}M /dev/urandom >${FILLER}`);
    console.error(`without a backup, for ${QUIET_SECONDS} s`);
    const quiet = await measure(studio, sleep(QUIET_SECONDS * 1000));
    console.error(`during a backup of ${values.mebibytes} MiB`);
    const start = performance.now();
    const during = await measure(studio, orfeas('backup'));
    const result = { quiet, during, backupSeconds: Math.round((performance.now() - start) / 1000), p99Ratio: during.p99 / quiet.p99 };
    if (values.json) console.log(JSON.stringify(result, undefined, 2));
    else {
      console.table({ quiet, during });
      console.log(`During the backup of ${result.backupSeconds} s the 99th percentile is ${result.p99Ratio.toFixed(2)} times as long.`);
    }
  } finally {
    inWorker(`rm -f ${FILLER}`);
    studio.close();
  }
}

main();
