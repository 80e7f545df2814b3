import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { load } from 'js-yaml';
import { inhibitRules, type Rule, ruleFiles, ruleGroups } from '../../constructs/prometheus-rules';
import { settingsOf } from '../support';

interface AlertTest {
  readonly alertname: string;
  readonly exp_alerts: readonly object[];
}
interface TestFile {
  readonly tests: readonly { readonly name: string; readonly alert_rule_test?: readonly AlertTest[] }[];
}

const settings = settingsOf('production');
const { namespace } = settings;
const rules = ruleGroups(settings).flatMap(group => group.rules);
const alerts = rules.filter((rule): rule is Rule & { alert: string } => rule.alert !== undefined);
const names = [...new Set(alerts.map(({ alert }) => alert))];

const runbooks = join(__dirname, '../../docs/runbooks');
const alertTests = readdirSync(__dirname)
  .filter(file => file.endsWith('.yaml'))
  .map(file => load(readFileSync(join(__dirname, file), 'utf8')) as TestFile)
  .flatMap(({ tests }) => tests.flatMap(({ alert_rule_test = [] }) => alert_rule_test));

const SELECTOR = /([a-zA-Z_][\w:]*)\{([^}]*)\}/g;
const selectors = rules.flatMap(({ expr }) =>
  [...expr.matchAll(SELECTOR)].map(([text, name = '', matchers = '']) => ({ text, name, matchers })),
);

const backend = readFileSync(join(__dirname, '../../images/backend/orfeas/metrics.py'), 'utf8');
/** Whether the backend's code declares a metric; it gives the prefixes of all, and of those of the backup, once. */
const ofBackend = (name: string): boolean =>
  backend.includes(`"${name.replace(/^orfeas_(backup_)?/, '').replace(/_(bucket|sum|count)$/, '')}"`);
/** Those of web, of exporters, and of Prometheus itself. */
const others = new Set([
  'ALERTS',
  'DCGM_FI_DEV_XID_ERRORS',
  'node_filesystem_avail_bytes',
  'node_filesystem_free_bytes',
  'node_filesystem_size_bytes',
  'prometheus_config_last_reload_successful',
  'prometheus_notifications_errors_total',
  'prometheus_remote_storage_samples_failed_total',
  'prometheus_rule_evaluation_failures_total',
  'prometheus_rule_group_iterations_missed_total',
  'prometheus_target_scrapes_exceeded_sample_limit_total',
  'prometheus_target_scrapes_sample_duplicate_timestamp_total',
  'prometheus_target_scrapes_sample_out_of_bounds_total',
  'prometheus_target_scrapes_sample_out_of_order_total',
  'prometheus_tsdb_wal_corruptions_total',
  'redis_aof_last_bgrewrite_status',
  'redis_aof_last_write_status',
  'redis_evicted_keys_total',
  'redis_memory_max_bytes',
  'redis_memory_used_bytes',
  'redis_rejected_connections_total',
  'redis_up',
  'up',
  'web_http_request_duration_seconds_bucket',
  'web_http_requests_total',
]);
const recorded = new Set(rules.map(({ record }) => record));

test.each(alerts.map(rule => [`${rule.alert} (${rule.labels?.severity})`, rule] as const))('%s says what an operator needs', (_, rule) => {
  expect(['critical', 'warning', 'info']).toContain(rule.labels?.severity);
  expect(rule.for).toMatch(/^\d+[mh]$/);
  expect(rule.annotations).toEqual({
    summary: expect.stringMatching(/./),
    description: expect.stringMatching(/\.$/),
    runbook_url: `${settings.monitoring.runbooks}/${rule.alert}.md`,
  });
});

test('every alert has a runbook, and every runbook an alert', () => {
  const pages = readdirSync(runbooks).filter(file => file !== 'README.md');
  expect(pages.sort()).toEqual(names.map(name => `${name}.md`).sort());
});
test('the index of runbooks names every alert, with its severities', () => {
  const index = readFileSync(join(runbooks, 'README.md'), 'utf8');
  for (const name of names) {
    const severities = alerts.filter(({ alert }) => alert === name).map(({ labels }) => labels?.severity);
    expect(index).toContain(`| [${name}](${name}.md) | ${[...new Set(severities)].join(', ')} |`);
  }
});

test('every alert is seen to fire, and to stay silent', () => {
  const seen = (fires: boolean) => alertTests.filter(({ exp_alerts }) => exp_alerts.length > 0 === fires).map(({ alertname }) => alertname);
  expect([...new Set(seen(true))].sort()).toEqual([...names].sort());
  expect(names.filter(name => !seen(false).includes(name))).toEqual([]);
});

test("every selector keeps to the studio's namespace, and no series is asked for without one", () => {
  for (const { text, matchers } of selectors)
    expect({ text, matchers: matchers.split(',') }).toEqual({ text, matchers: expect.arrayContaining([`namespace="${namespace}"`]) });
  for (const { expr } of rules) {
    const rest = expr.replaceAll(SELECTOR, '').replaceAll(/"[^"]*"|\[[^\]]*\]|\b(by|on)\s*\([^)]*\)|\boffset \w+/g, '');
    const words = [...rest.matchAll(/(?<![\w.])[a-zA-Z_][\w:]*(?![\w:]|\s*\()/g)].map(([word]) => word);
    expect({ expr, words: words.filter(word => !['and', 'or', 'unless'].includes(word)) }).toEqual({ expr, words: [] });
  }
});
test('every metric that is asked for exists', () => {
  const unknown = selectors.map(({ name }) => name).filter(name => !others.has(name) && !recorded.has(name) && !ofBackend(name));
  expect([...new Set(unknown)]).toEqual([]);
});

test('alerts that keep others quiet, and those kept quiet, exist', () => {
  const patterns = inhibitRules().flatMap(({ source_matchers, target_matchers }) =>
    [...source_matchers, ...target_matchers].flatMap(matcher => /^alertname =~? "(.*)"$/.exec(matcher)?.[1] ?? []),
  );
  expect(patterns.length).toBeGreaterThan(10);
  for (const pattern of patterns) {
    const found = names.filter(name => new RegExp(`^(?:${pattern})$`).test(name));
    expect({ pattern, found: found.length }).toEqual({ pattern, found: pattern.endsWith('.*') ? names.length : pattern.split('|').length });
  }
});

test('objectives and bounds are those of the settings', () => {
  const { serviceLevel } = settingsOf('production', {
    monitoring: { serviceLevel: { availability: 0.9, jobLatency: { seconds: 2.5 }, queueWait: { seconds: 60 } } },
  }).monitoring;
  const changed = { ...settings, monitoring: { ...settings.monitoring, serviceLevel } };
  const exprs = ruleGroups(changed).flatMap(group => group.rules.map(({ expr }) => expr));
  expect(exprs).toContain('vector(0.9)');
  expect(exprs.join()).toContain('le="2.5"');
  expect(exprs.join()).toContain('le="60.0"');
});
test('without backups, nothing is told of them', () => {
  const changed = settingsOf('production', { backup: { enabled: false } });
  expect(Object.keys(ruleFiles(changed))).not.toContain('prometheus/rules/backup.yaml');
});
test.each([
  ['0 3 * * *', 26],
  ['0 */6 * * *', 26],
  ['0 3 * * 0', 170],
  ['0 3 1 * *', 746],
  ['0 3 1 1 *', 8786],
])('a backup by %s is missed after %i hours', (schedule, hours) => {
  const { 'prometheus/rules/backup.yaml': values } = ruleFiles(settingsOf('production', { backup: { schedule } }));
  expect(values?.backup_max_age_seconds).toBe(hours * 3600);
});
