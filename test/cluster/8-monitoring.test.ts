import { manifestsOf, settingsOf } from '../support';
import { allUp, flags, parse, prometheusPod, query, rules, runtime, type Sample, value } from './prometheus';
import { kubectl, list, namespace, orfeas, settings, signal, until, verifyBackup } from './support';

/** What `local` rightly has none of. */
const ABSENT = [
  // a GPU, and the cluster's own exporters
  /^orfeas_gpu_/,
  /^orfeas:gpu_memory/,
  /^DCGM_/,
  /^kube_/,
  // an Alertmanager, and another store
  /^alertmanager_/,
  /^prometheus_notifications_errors_total$/,
  /^prometheus_remote_storage_/,
  // a backup that runs
  /^orfeas_backup_progress_ratio$/,
  // a fault
  /^orfeas:slo_burn/,
  /^ALERTS$/,
];

interface Node {
  readonly type?: string;
  readonly name?: string;
  readonly matchers?: readonly { name: string; type: string; value: string }[];
}

/** The selectors of an expression, each as an expression of its own. */
function selectors(node: unknown): { name: string; expression: string }[] {
  if (typeof node !== 'object' || node === null) return [];
  const { type, name, matchers } = node as Node;
  if (type === 'vectorSelector' || type === 'matrixSelector') {
    const conditions = (matchers ?? []).filter(matcher => matcher.name !== '__name__');
    const text = conditions.map(matcher => `${matcher.name}${matcher.type}${JSON.stringify(matcher.value)}`).join();
    return [{ name: name ?? '', expression: `${name}{${text}}` }];
  }
  return Object.values(node).flatMap(selectors);
}

const rightlyAbsent = (name: string): boolean => ABSENT.some(pattern => pattern.test(name));

test('every port that serves metrics is asked, in time, and answers', async () => {
  const active = await allUp();
  for (const { labels, lastScrapeDuration } of active)
    expect({ labels, slow: lastScrapeDuration > settings.monitoring.scrapeTimeoutSeconds }).toEqual({ labels, slow: false });
});

test('promtool finds no fault in what Prometheus runs with', async () => {
  const { spec } = await prometheusPod();
  const [file] = spec.containers[0].args.flatMap((arg: string) => /^--config.file=(.*)/.exec(arg)?.[1] ?? []);
  const output = await kubectl(['-n', namespace, 'exec', 'prometheus-0', '-c', 'prometheus', '--', 'promtool', 'check', 'config', file]);
  expect(output.toString()).toContain('SUCCESS');
});

test('samples are kept for 30 days and below the size of the claim, and the log is compressed', async () => {
  const mebibytes = settings.storage.prometheusData.gibibytes * 1024;
  const { storageRetention } = await runtime();
  expect(storageRetention).toMatch(/^30d or /);
  const size = [...(storageRetention ?? '').matchAll(/(\d+)([GM])iB/g)].reduce(
    (sum, [, amount, unit]) => sum + Number(amount) * (unit === 'G' ? 1024 : 1),
    0,
  );
  expect(size).toBeGreaterThan(0.5 * mebibytes);
  expect(size).toBeLessThanOrEqual(0.8 * mebibytes);
  expect((await flags())['storage.tsdb.wal-compression']).toBe('true');
});

describe('after a load of pictures and a backup', () => {
  beforeAll(async () => {
    for (const command of ['smoke', 'smoke', 'smoke', 'backup']) {
      const { code, stdout, stderr } = await orfeas([command, '--env', 'local', '--json']);
      if (code !== 0) throw new Error(`${stdout}${stderr}`);
    }
    await verifyBackup();
    // The slowest group is evaluated each two minutes, and has seen the jobs at the second time at the latest.
    await until('the jobs in the longest window', 300, async () =>
      (await query('orfeas:slo_budget_remaining:ratio')).some(({ metric }) => metric.slo === 'job-success'),
    );
  });

  test('every rule is evaluated without an error, and every series that it names is there', async () => {
    const missing: string[] = [];
    for (const { name, query: expression, health, lastError } of await rules()) {
      expect({ name, health, lastError }).toEqual({ name, health: 'ok', lastError: undefined });
      for (const { name: metric, expression: selector } of selectors(await parse(expression)))
        if (!rightlyAbsent(metric) && (await query(`last_over_time(${selector}[10m])`)).length === 0) missing.push(`${name}: ${selector}`);
    }
    expect(missing).toEqual([]);
  });

  test('every recording rule has recorded something', async () => {
    const recording = (await rules()).filter(({ type }: { type: string }) => type === 'recording');
    const named = async (expression: string) => selectors(await parse(expression)).map(({ name }) => name);
    const recorded = async (name: string): Promise<Sample[]> => query(`last_over_time({__name__="${name}"}[10m])`);
    const empty = [];
    for (const { name, query: expression } of recording)
      if (![name, ...(await named(expression))].some(rightlyAbsent) && (await recorded(name)).length === 0) empty.push(name);
    expect(empty).toEqual([]);
  });

  test('every panel of every dashboard shows something', async () => {
    const maps = await list('-n', namespace, 'configmaps');
    const dashboards = maps.filter(({ metadata }) => metadata.name.startsWith('dashboard-'));
    expect(dashboards).toHaveLength(7);
    const empty: string[] = [];
    for (const { data } of dashboards) {
      for (const text of Object.values<string>(data)) {
        for (const { title, expr } of panelsOf(JSON.parse(text))) {
          const expression = expr
            .replaceAll('$namespace', namespace)
            .replaceAll('$pod', '.+')
            .replaceAll('$__rate_interval', '1m')
            .replaceAll(/\$__range\b/g, '1h')
            .replaceAll(/\$__interval\b/g, '1m');
          const named = selectors(await parse(expression));
          if (!named.some(({ name }) => rightlyAbsent(name) || name.startsWith('orfeas:gpu')) && (await query(expression)).length === 0)
            empty.push(`${title}: ${expression}`);
        }
      }
    }
    expect(empty).toEqual([]);
  });
});

/** The queries of a dashboard, rows included. */
function panelsOf(dashboard: { panels?: unknown[] }): { title: string; expr: string }[] {
  return (dashboard.panels ?? []).flatMap(panel => {
    const { title, targets = [], panels } = panel as { title: string; targets?: { expr?: string }[]; panels?: unknown[] };
    return [...targets.flatMap(({ expr }) => (expr ? [{ title, expr }] : [])), ...(panels ? panelsOf({ panels }) : [])];
  });
}

test('the API server takes every object that an operator reads', async () => {
  const items = manifestsOf(settingsOf('local', { monitoring: { stack: { mode: 'operator' } } }));
  expect(items.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['PodMonitor', 'PrometheusRule']));
  const list = Buffer.from(JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
  const output = (await kubectl(['apply', '--dry-run=server', '-f', '-'], list)).toString();
  expect(output).not.toMatch(/violate|Warning: (?!resource)/);
});

test('Grafana runs with what is provisioned, and asks for the password of its Secret', async () => {
  const proxy = `/api/v1/namespaces/${namespace}/services/grafana:http/proxy`;
  const health = JSON.parse((await kubectl(['get', '--raw', `${proxy}/api/health`])).toString());
  expect(health).toMatchObject({ database: 'ok', standIn: true });
});

test('Prometheus, killed while it works, keeps what it knew', async () => {
  const seriesAt = (seconds: number) => value(`count({job=~".+"} @ ${seconds})`);
  const before = Math.floor(Date.now() / 1000) - 60;
  const known = await seriesAt(before);
  expect(known).toBeGreaterThan(500);
  await signal('prometheus-0', 'prometheus', '/prometheus', 'SIGKILL');
  await until('a restart', 60, async () => {
    const { status } = await prometheusPod();
    const state = status.containerStatuses.find(({ name }: { name: string }) => name === 'prometheus');
    return state.restartCount > 0 && state.ready;
  });
  await allUp();
  expect(await seriesAt(before)).toBe(known);
  expect(await value('prometheus_tsdb_wal_corruptions_total')).toBe(0);
});
