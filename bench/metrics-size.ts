// Measures how large 30 days of the studio's metrics are, on a cluster where it has run for half an hour or longer:
// npx tsx bench/metrics-size.ts [--json]
//
// What Prometheus has gathered is copied, and a second Prometheus on this machine (PROMETHEUS, or `prometheus` in the PATH) writes
// it as a block, as it would after two hours. Bytes a sample times the samples of the retention are compared with the limit.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadSettings } from '../config';
import { bundledStack, metricsMebibytes } from '../config/derive';

const PORT = 39_090;
const DAY_SECONDS = 86_400;

const settings = loadSettings('local');
const { namespace, storage } = settings;
const retentionDays = bundledStack(settings)?.prometheus.retentionDays ?? 30;

function query(expression: string): number {
  const path = `/api/v1/namespaces/${namespace}/services/prometheus:web/proxy/api/v1/query?${new URLSearchParams({ query: expression })}`;
  const answer = JSON.parse(execFileSync('kubectl', ['get', '--raw', path]).toString());
  return Number(answer.data.result[0]?.value[1]);
}

const sizeOf = (folder: string): number =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);

/** Bytes and samples of the blocks that a copy of the running Prometheus' data is written as. */
async function blocks(): Promise<{ bytes: number; samples: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'metrics-size-'));
  const tar = execFileSync(
    'kubectl',
    ['-n', namespace, 'exec', 'prometheus-0', '-c', 'prometheus', '--', 'tar', '-cf', '-', '-C', '/prometheus', '.'],
    {
      maxBuffer: 2 ** 32,
    },
  );
  execFileSync('tar', ['-xf', '-', '-C', folder], { input: tar });
  const args = [
    `--storage.tsdb.path=${folder}`,
    `--web.listen-address=127.0.0.1:${PORT}`,
    '--web.enable-admin-api',
    '--config.file=/dev/null',
  ];
  const prometheus = spawn(process.env.PROMETHEUS ?? 'prometheus', args, { stdio: 'ignore' });
  try {
    const url = `http://127.0.0.1:${PORT}`;
    for (let attempt = 0; attempt < 60; attempt++) {
      if (
        await fetch(`${url}/-/ready`).then(
          ({ ok }) => ok,
          () => false,
        )
      )
        break;
      await sleep(1000);
    }
    const answer = await fetch(`${url}/api/v1/admin/tsdb/snapshot`, { method: 'POST' });
    const { data } = (await answer.json()) as { data: { name: string } };
    const snapshot = join(folder, 'snapshots', data.name);
    const names = readdirSync(snapshot);
    return {
      bytes: sizeOf(snapshot),
      samples: names.reduce((sum, name) => sum + JSON.parse(readFileSync(join(snapshot, name, 'meta.json'), 'utf8')).stats.numSamples, 0),
    };
  } finally {
    prometheus.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  const { bytes, samples } = await blocks();
  const samplesPerSecond = query('sum(rate(prometheus_tsdb_head_samples_appended_total[10m]))');
  const retainedBytes = (bytes / samples) * samplesPerSecond * retentionDays * DAY_SECONDS;
  const limitBytes = metricsMebibytes(storage.prometheusData) * 2 ** 20;
  const result = {
    series: query('prometheus_tsdb_head_series'),
    samplesPerSecond,
    samplesMeasured: samples,
    bytesPerSample: bytes / samples,
    retentionDays,
    retainedMebibytes: retainedBytes / 2 ** 20,
    limitMebibytes: limitBytes / 2 ** 20,
    shareOfLimit: retainedBytes / limitBytes,
  };
  if (process.argv.includes('--json')) console.log(JSON.stringify(result, undefined, 2));
  else
    for (const [name, value] of Object.entries(result))
      console.log(`${name.padEnd(20)} ${Number.isInteger(value) ? value : value.toPrecision(3)}`);
  if (retainedBytes > limitBytes) process.exitCode = 1;
}

void main();
