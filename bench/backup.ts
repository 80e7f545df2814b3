// Measures how fast a backup is, beside a plain tar of the same volumes: npx tsx bench/backup.ts [--gibibytes N] [--json]
//
// Needs restic 0.18 in the PATH, and Python 3.11. Makes volumes with data that does not shrink, as model weights and meshes are, and for
// each of three rounds a tar of them, a first backup into an empty repository, and a second one of unchanged data. Each is on the disk before
// its time is taken, and each is read from a cold cache where this user may empty it. The repository is made before: restic takes seconds for
// that, to find how long this machine is to take for a password, once in the life of a studio.
//
// A disk of this machine may be faster than a cloud's volumes. To read it as one of 125 MiB/s, put the shell into a cgroup before:
//   mkdir /sys/fs/cgroup/blkio/volume && cd /sys/fs/cgroup/blkio/volume
//   echo "$(lsblk -ndo MAJ:MIN /dev/DISK) 131072000" >blkio.throttle.read_bps_device && echo $$ >cgroup.procs && cd -
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { median } from './measure';

const ROUNDS = 3;
const MEBIBYTE = 2 ** 20;

const { values } = parseArgs({ options: { gibibytes: { type: 'string', default: '8' }, json: { type: 'boolean', default: false } } });
const gibibytes = Number(values.gibibytes);
const folder = mkdtempSync(join(tmpdir(), 'orfeas-bench-'));
const volumes = join(folder, 'volumes');

function write(file: string, mebibytes: number): void {
  const descriptor = openSync(file, 'w');
  for (let written = 0; written < mebibytes; written++) writeSync(descriptor, randomBytes(MEBIBYTE));
  closeSync(descriptor);
}

/** Half of it few large files, as the caches hold, and half of it meshes of 4 MiB. */
function fill(): void {
  const [cache, outputs] = [join(volumes, 'huggingface-cache'), join(volumes, 'outputs', 'outputs')];
  for (const path of [cache, outputs]) mkdirSync(path, { recursive: true });
  for (let file = 0; file < 4; file++) write(join(cache, `weights-${file}.safetensors`), (gibibytes * 1024) / 8);
  for (let file = 0; file < (gibibytes * 1024) / 8; file++) write(join(outputs, `${file}.glb`), 4);
}

const sync = () => execFileSync('sync');
function emptyCache(): boolean {
  sync();
  try {
    writeFileSync('/proc/sys/vm/drop_caches', '3');
    return true;
  } catch {
    return false;
  }
}

function seconds(work: () => void): number {
  const start = performance.now();
  work();
  sync();
  return (performance.now() - start) / 1000;
}

const password = join(folder, 'password');
const repository = join(folder, 'repository');
const environment = {
  PATH: process.env.PATH,
  PYTHONPATH: join(__dirname, '../images/backup'),
  VOLUMES: volumes,
  SCRATCH: join(folder, 'scratch'),
  NAMESPACE: 'bench',
  ENVIRONMENT: 'local',
  STUDIO_VERSION: '0',
  BACKUP_PARTS: 'outputs,models',
  BACKUP_RETENTION_DAYS: '30',
  RESTIC_REPOSITORY: repository,
  RESTIC_PASSWORD_FILE: password,
  RESTIC_CACHE_DIR: join(folder, 'cache'),
};
const init = () => execFileSync('restic', ['init', '--quiet'], { env: environment });
const backup = () => execFileSync('python3', ['-m', 'orfeas_backup', 'backup'], { env: environment, stdio: ['ignore', 'pipe', 'inherit'] });
const tar = () => execFileSync('tar', ['--create', '--file', join(folder, 'volumes.tar'), '--directory', volumes, '.']);

const rounded = (number: number): number => Math.round(number * 100) / 100;

try {
  mkdirSync(environment.SCRATCH);
  writeFileSync(password, 'bench', { mode: 0o600 });
  console.error(`making ${gibibytes} GiB of data below ${folder}`);
  fill();
  const cold = emptyCache();
  const rounds = Array.from({ length: ROUNDS }, (_, round) => {
    console.error(`round ${round + 1} of ${ROUNDS}`);
    emptyCache();
    const plain = seconds(tar);
    rmSync(join(folder, 'volumes.tar'));
    init();
    emptyCache();
    const first = seconds(backup);
    emptyCache();
    const second = seconds(backup);
    rmSync(repository, { recursive: true });
    return { tarSeconds: rounded(plain), firstSeconds: rounded(first), secondSeconds: rounded(second) };
  });
  const result = {
    gibibytes,
    cpus: availableParallelism(),
    cold,
    rounds,
    throughputOfTar: rounded(median(rounds.map(({ tarSeconds, firstSeconds }) => tarSeconds / firstSeconds))),
    secondIsFasterBy: rounded(median(rounds.map(({ firstSeconds, secondSeconds }) => firstSeconds / secondSeconds))),
  };
  if (values.json) {
    console.log(JSON.stringify(result, undefined, 2));
  } else {
    console.log(`${gibibytes} GiB, ${result.cpus} CPUs, ${cold ? 'cold' : 'warm'} cache`);
    console.table(rounds);
    console.log(
      `A first backup has ${result.throughputOfTar} of the throughput of tar; a second one is ${result.secondIsFasterBy} times as fast.`,
    );
  }
} finally {
  rmSync(folder, { recursive: true });
}
