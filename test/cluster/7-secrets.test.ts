import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { secrets } from '../../config/secrets';
import { grafanaAnswer, present, redisAnswer, restarts } from './passwords';
import { Client, command, get, jobStates, kubectl, list, namespace, picture, python, ROOT, run, until } from './support';

const names = Object.values(secrets).map(({ name }) => name);

let before: Record<string, string>;
let after: Record<string, string>;
let answers: readonly number[];
let jobs: readonly string[];
/** Command lines of all processes of the node, which is this machine, and environments of the studio's, while it all happened. */
const seen = new Set<string>();

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
};

function lookAtProcesses(): void {
  for (const pid of readdirSync('/proc').filter(name => /^\d+$/.test(name))) {
    seen.add(read(`/proc/${pid}/cmdline`));
    if (read(`/proc/${pid}/cgroup`).includes('kubepods')) seen.add(read(`/proc/${pid}/environ`));
  }
}

/** Asks and submits until `work` has ended. */
async function underLoad(work: Promise<unknown>): Promise<{ answers: number[]; jobs: string[] }> {
  let ended = false;
  const done = work.finally(() => {
    ended = true;
  });
  const [asker, sender] = await Promise.all([Client.create('asker'), Client.create('sender')]);
  const body = await picture('PNG');
  const statuses: number[] = [];
  const ids: string[] = [];
  const asking = async (): Promise<void> => {
    while (!ended) {
      statuses.push(...(await asker.send('GET', '/ready', 5)).map(({ status }) => status));
      lookAtProcesses();
    }
  };
  const sending = async (): Promise<void> => {
    // As many as one address may send at once.
    while (!ended && ids.length < 10) {
      const [answer] = await sender.send('POST', '/api/generate-3d', 1, body);
      statuses.push(answer?.status ?? 0);
      const { job_id: id } = JSON.parse(answer?.body ?? '{}');
      ids.push(id);
      await until('the end of the job', 60, async () => /completed|failed/.test((await jobStates([id]))[0]?.status ?? ''));
    }
  };
  await Promise.all([done, asking(), sending()]);
  return { answers: statuses, jobs: (await jobStates(ids)).map(({ status }) => status) };
}

let restartsBefore: Record<string, number>;
beforeAll(async () => {
  // The repository has a password once it has a backup.
  await command(['backup']);
  before = await present();
  restartsBefore = await restarts();
  const all = Promise.all(names.map(name => command(['secrets', '--rotate', name, '--force'])));
  ({ answers, jobs } = await underLoad(all));
  after = await present();
}, 300_000);
afterAll(Client.removeAll);

test('every Secret has another value, no request failed meanwhile, and nothing was restarted', async () => {
  for (const name of names) expect({ name, changed: after[name] !== before[name] }).toEqual({ name, changed: true });
  expect(answers.length).toBeGreaterThan(20);
  expect(answers.filter(status => status !== 200 && status !== 202)).toEqual([]);
  expect(jobs.length).toBeGreaterThan(0);
  expect(new Set(jobs)).toEqual(new Set(['completed']));
  expect(await restarts()).toEqual(restartsBefore);
});

test.each(['before', 'after'])('of the values, Redis and Grafana admit whose are those after: %s', async when => {
  const values = when === 'before' ? before : after;
  const redis = await redisAnswer(values['orfeas-redis'] as string);
  if (when === 'after') expect(redis).toBe('PONG');
  else expect(redis).toContain('WRONGPASS');
  expect(await grafanaAnswer(values['orfeas-grafana'] as string)).toBe(when === 'after' ? '200' : '401');
});

test.each(['before', 'after'])('sessions are those that the key after has signed: %s', async when => {
  const program = `
import sys
from pathlib import Path
from flask import Flask, session
from flask.sessions import SecureCookieSessionInterface
from orfeas.sessions import Sessions
signing = Flask("signing")
signing.secret_key = sys.stdin.read()
cookie = SecureCookieSessionInterface().get_signing_serializer(signing).dumps({"who": "somebody"})
reading = Flask("reading")
reading.session_interface = Sessions(Path("/etc/orfeas-app/SECRET_KEY"))
with reading.test_request_context(headers={"Cookie": "session=" + cookie}):
    print(session.get("who"))`;
  const key = (when === 'before' ? before : after)['orfeas-app'] as string;
  expect((await python(program, [], Buffer.from(key))).toString().trim()).toBe(when === 'after' ? 'somebody' : 'None');
});

test('backups are read with the new password, and the old one opens none', async () => {
  await command(['backup', 'list']);
  const old = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'orfeas-backup-old', namespace },
    stringData: { password: before['orfeas-backup'] },
  };
  const { spec } = (await get('-n', namespace, 'cronjob', 'backup-repository')).spec.jobTemplate;
  for (const { secret } of spec.template.spec.volumes) if (secret?.secretName === 'orfeas-backup') secret.secretName = old.metadata.name;
  const job = { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'backup-repository-old', namespace }, spec };
  try {
    await kubectl(['apply', '-f', '-'], Buffer.from(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [old, job] })));
    await kubectl(['-n', namespace, 'wait', '--for=condition=Failed', `job/${job.metadata.name}`, '--timeout=60s']);
    expect((await kubectl(['-n', namespace, 'logs', `job/${job.metadata.name}`])).toString()).toContain('"wrong-password"');
  } finally {
    await kubectl(['-n', namespace, 'delete', `job/${job.metadata.name}`, `secret/${old.metadata.name}`, '--ignore-not-found']);
  }
});

describe('no value, before or after, is', () => {
  let values: string[];
  beforeAll(async () => {
    const { data } = await get('-n', namespace, 'secret', 'orfeas-tls');
    const [, line = ''] = Buffer.from(data['tls.key'], 'base64').toString().split('\n');
    values = [...Object.values(before), ...Object.values(after), line].flatMap(value => [value, Buffer.from(value).toString('base64')]);
  });
  const expectNone = (where: string, text: string) => {
    // No value is in the message of a failure either.
    expect({ where, found: values.filter(value => text.includes(value)).length }).toEqual({ where, found: 0 });
  };

  test('in git or dist', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'orfeas-'));
    const patterns = join(folder, 'patterns');
    writeFileSync(patterns, values.join('\n'), { mode: 0o600 });
    const { code, stdout } = await run('git', ['grep', '--untracked', '--files-with-matches', '--fixed-strings', '-f', patterns], {
      cwd: ROOT,
    });
    rmSync(folder, { recursive: true });
    expect({ code, files: stdout.toString() }).toEqual({ code: 1, files: '' });
  });
  test('in any object but a Secret', async () => {
    const kinds = 'configmaps,pods,events,deployments,statefulsets,cronjobs,jobs,controllerrevisions,services,ingresses';
    expectNone('the objects', JSON.stringify(await list('-n', namespace, kinds)));
  });
  test('in the log of a container', async () => {
    for (const { metadata, spec } of await list('-n', namespace, 'pods')) {
      for (const { name } of [...(spec.initContainers ?? []), ...spec.containers]) {
        const log = await kubectl(['-n', namespace, 'logs', metadata.name, '-c', name]).catch(() => Buffer.from(''));
        expectNone(`${metadata.name} ${name}`, log.toString());
      }
    }
  });
  test('in a command line, or in the environment of a process of the studio', () => {
    lookAtProcesses();
    expect(seen.size).toBeGreaterThan(50);
    expectNone('the processes', [...seen].join('\n'));
  });
});
