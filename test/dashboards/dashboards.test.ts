import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Dashboard, Panel } from '@grafana/grafana-foundation-sdk/dashboard';
import type { Dataquery } from '@grafana/grafana-foundation-sdk/prometheus';
import { ruleGroups } from '../../constructs/prometheus-rules';
import { dashboards } from '../../dashboards';
import { settingsOf } from '../support';

const settings = settingsOf('production');
const all = dashboards(settings);
const groups = ruleGroups(settings).flatMap(({ rules }) => rules);

const panelsOf = ({ panels = [] }: Dashboard) => panels.filter((panel): panel is Panel => panel.type !== 'row');
const queriesOf = (panel: Panel) => (panel.targets ?? []) as Dataquery[];
const exprsOf = (dashboard: Dashboard): string[] => [
  ...panelsOf(dashboard).flatMap(panel => queriesOf(panel).map(({ expr }) => expr)),
  ...(dashboard.annotations?.list ?? []).map(({ expr }) => expr as string),
];
const linksOf = (dashboard: Dashboard): string[] => panelsOf(dashboard).flatMap(({ links = [] }) => links.map(({ url }) => url as string));

/** Series of the backend, as its reference lists them. */
const ofBackend = [...readFileSync(join(__dirname, '../../docs/metrics.md'), 'utf8').matchAll(/^\| `(orfeas_\w+)` \| (\w+) /gm)].flatMap(
  ([, name = '', type]) => (type === 'histogram' ? ['bucket', 'sum', 'count'].map(part => `${name}_${part}`) : [name]),
);

/** Metrics of others: nginx' Lua, the exporters, Prometheus. */
const ofOthers = [
  'ALERTS',
  'DCGM_FI_DEV_XID_ERRORS',
  'nginx_connections_accepted',
  'nginx_connections_active',
  'nginx_connections_handled',
  'nginx_connections_reading',
  'nginx_connections_waiting',
  'nginx_connections_writing',
  'nginx_up',
  'process_cpu_seconds_total',
  'process_resident_memory_bytes',
  'redis_aof_last_write_status',
  'redis_blocked_clients',
  'redis_commands_processed_total',
  'redis_connected_clients',
  'redis_db_keys',
  'redis_db_keys_expiring',
  'redis_evicted_keys_total',
  'redis_expired_keys_total',
  'redis_memory_max_bytes',
  'redis_memory_used_bytes',
  'redis_memory_used_rss_bytes',
  'redis_rejected_connections_total',
  'redis_up',
  'up',
  'web_http_request_duration_seconds_bucket',
  'web_http_requests_total',
  'web_http_response_size_bytes_total',
  'web_upstream_errors_total',
];
const known = new Set([...ofBackend, ...ofOthers, ...groups.flatMap(rule => ('record' in rule ? [rule.record as string] : []))]);

/** Names of metrics in an expression: what is neither a function, a keyword, a label, a variable nor within quotes. */
function metricsOf(expr: string): string[] {
  const text = expr
    .replaceAll(/"[^"]*"/g, '')
    .replaceAll(/\[[^\]]*\]/g, '')
    .replaceAll(/\{[^}]*\}/g, '{}')
    .replaceAll(/\b(by|on|group_left)\s*\([^)]*\)/g, '');
  return [...text.matchAll(/[a-zA-Z_][\w:]*(?!\w)(?!\s*\()/g)]
    .map(([name]) => name)
    .filter(name => !/^(or|and|unless|offset|\d*[smhd])$/.test(name));
}

/** So that the same query is found with another range and other spaces. */
const normalized = (expr: string): string => expr.replaceAll(/\[[^\]]*\]/g, '[]').replaceAll(/\s+/g, '');

test('there are seven, each with a uid and a title of its own', () => {
  expect(Object.keys(all)).toEqual(['overview', 'backend', 'gpu', 'redis', 'web', 'capacity', 'backup'].map(name => `orfeas-${name}.json`));
  for (const [file, { uid }] of Object.entries(all)) expect(`${uid}.json`).toBe(file);
  expect(new Set(Object.values(all).map(({ title }) => title)).size).toBe(7);
});
test('the same settings give the same bytes', () => {
  expect(JSON.stringify(dashboards(settings))).toBe(JSON.stringify(all));
});
test('thresholds are those of the settings', () => {
  const changed = settingsOf('production', { monitoring: { serviceLevel: { jobLatency: { seconds: 60 } } } });
  const stepsOf = (of: typeof all) => panelsOf(of['orfeas-capacity.json'] as Dashboard)[0]?.fieldConfig?.defaults.thresholds?.steps;
  expect(stepsOf(all)?.[1]?.value).toBe(120);
  expect(stepsOf(dashboards(changed))?.[1]?.value).toBe(60);
});

describe.each(Object.entries(all))('%s', (_, dashboard) => {
  test('fits into a ConfigMap that kubectl applies, which keeps it twice', () => {
    expect(JSON.stringify(dashboard).length).toBeLessThan(200_000);
  });
  test('cannot be edited, shows 6 hours, and is read again every 30 s', () => {
    expect(dashboard).toMatchObject({ editable: false, time: { from: 'now-6h', to: 'now' }, refresh: '30s', tags: ['orfeas'] });
  });
  test('leads to all others, with the studio and the time range', () => {
    const links = dashboard.links ?? [];
    expect(links.map(({ url }) => url?.split('?')[0]).sort()).toEqual(
      Object.values(all)
        .filter(other => other !== dashboard)
        .map(({ uid }) => `/d/${uid}`)
        .sort(),
    );
    // biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana's own variable
    for (const { url, keepTime } of links) expect([url?.split('?')[1], keepTime]).toEqual(['${namespace:queryparam}', true]);
  });
  test('says of every panel what it shows, in which unit, and what is good', () => {
    for (const { title, description, fieldConfig, options, type } of panelsOf(dashboard)) {
      const unit = type === 'heatmap' ? options.yAxis.unit : fieldConfig?.defaults.unit;
      expect({ title, description: Boolean(description), unit: Boolean(unit) }).toEqual({ title, description: true, unit: true });
      if (type !== 'heatmap') expect({ title, steps: fieldConfig?.defaults.thresholds?.steps.length }).not.toEqual({ title, steps: 0 });
    }
  });
  test('asks the data source that is provisioned', () => {
    const { templating, annotations } = dashboard;
    for (const { datasource } of [...panelsOf(dashboard), ...(templating?.list ?? []), ...(annotations?.list ?? [])])
      expect(datasource).toEqual({ type: 'prometheus', uid: 'prometheus' });
  });
  test('has panels and queries with names of their own, and panels that do not overlap', () => {
    const panels = dashboard.panels ?? [];
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } = { x: 0, y: 0, w: 0, h: 0 } }) => {
      expect(x + w).toBeLessThanOrEqual(24);
      return Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)} ${y + Math.floor(cell / w)}`);
    });
    expect(new Set(cells).size).toBe(cells.length);
    for (const panel of panelsOf(dashboard)) {
      const names = queriesOf(panel).map(({ refId }) => refId);
      expect({ title: panel.title, names: new Set(names).size }).toEqual({ title: panel.title, names: Math.max(1, names.length) });
    }
  });
  test('looks at the chosen studio alone', () => {
    for (const expr of exprsOf(dashboard))
      for (const metric of metricsOf(expr)) expect(expr).toMatch(new RegExp(`(?<![\\w:])${metric}\\{namespace="\\$namespace"`));
    for (const expr of exprsOf(dashboard)) expect(expr.match(/\{/g)?.length).toBe(expr.match(/\{namespace="\$namespace"/g)?.length);
  });
  test('names metrics and recording rules that there are', () => {
    expect(
      exprsOf(dashboard)
        .flatMap(metricsOf)
        .filter(metric => !known.has(metric)),
    ).toEqual([]);
  });
  test('uses the recording rule where there is one', () => {
    const recorded = groups
      .flatMap(rule => ('record' in rule && rule.expr.includes('{') ? [rule.expr] : []))
      .map(expr => normalized(expr.replaceAll(`namespace="${settings.namespace}"`, 'namespace="$namespace"')));
    for (const expr of exprsOf(dashboard).map(normalized)) expect(recorded.filter(rule => expr.includes(rule))).toEqual([]);
  });
  test('asks rates over an interval that fits the time range', () => {
    for (const expr of exprsOf(dashboard)) expect(expr).not.toMatch(/rate\([^[]*\[(\d+s|1m|2m)\]/);
  });
  test('leads to the runbooks of alerts that there are', () => {
    const alerts = new Set(groups.flatMap(rule => ('alert' in rule ? [`${settings.monitoring.runbooks}/${rule.alert}.md`] : [])));
    expect(linksOf(dashboard).filter(url => !alerts.has(url))).toEqual([]);
  });
  test('says that there is no GPU, instead of nothing, where there is none', () => {
    for (const panel of panelsOf(dashboard))
      if (queriesOf(panel).some(({ expr }) => /orfeas_gpu_|orfeas:gpu_memory/.test(expr)))
        expect([panel.title, panel.fieldConfig?.defaults.noValue]).toEqual([panel.title, 'no GPU']);
  });
});

test('a dashboard can choose among pods exactly where its queries do', () => {
  for (const dashboard of Object.values(all)) {
    const variables = (dashboard.templating?.list ?? []).map(({ name }) => name);
    expect(variables).toEqual(exprsOf(dashboard).some(expr => expr.includes('$pod')) ? ['namespace', 'pod'] : ['namespace']);
  }
});
