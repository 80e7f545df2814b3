import { load } from 'js-yaml';
import * as derive from '../config/derive';
import type { Settings } from '../config/schema';
import { configFile } from './config-files';

/** A load of the model that takes so many times longer than the longest measured is slow. */
const SLOW_LOAD = 1.5;

/** A bound as clients of Prometheus write it in the label `le`: with a decimal point. */
const le = (seconds: number): string => (Number.isInteger(seconds) ? seconds.toFixed(1) : String(seconds));

/** Prometheus' rule files below files/, each with the values of its placeholders. */
export function ruleFiles(settings: Settings): Record<string, Record<string, string | number>> {
  const { namespace, model, backup } = settings;
  const { runbooks, serviceLevel } = settings.monitoring;
  const { availability, jobSuccess, jobLatency, queueWait } = serviceLevel;
  const alerts = { namespace, runbooks };
  return {
    'prometheus/rules/recording.yaml': {
      namespace,
      availability,
      job_success: jobSuccess,
      job_latency: jobLatency.share,
      job_latency_le: le(jobLatency.seconds),
      queue_wait: queueWait.share,
      queue_wait_le: le(queueWait.seconds),
    },
    'prometheus/rules/service-level.yaml': alerts,
    'prometheus/rules/backend.yaml': {
      ...alerts,
      startup_seconds: derive.startupSeconds(settings),
      slow_load_seconds: model.loadSeconds * SLOW_LOAD,
      queue_wait_seconds: queueWait.seconds,
    },
    'prometheus/rules/web.yaml': alerts,
    'prometheus/rules/gpu.yaml': alerts,
    'prometheus/rules/redis.yaml': alerts,
    'prometheus/rules/volumes.yaml': alerts,
    'prometheus/rules/certificate.yaml': alerts,
    ...(backup.enabled && {
      'prometheus/rules/backup.yaml': { ...alerts, backup_max_age_seconds: derive.backupMaxAgeSeconds(settings) },
    }),
    'prometheus/rules/monitoring.yaml': alerts,
  };
}

export interface Rule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface RuleGroup {
  readonly name: string;
  /** How often it is evaluated; as often as Prometheus does by default when absent. */
  readonly interval?: string;
  readonly rules: readonly Rule[];
}

/** The groups of all rule files, filled. */
export const ruleGroups = (settings: Settings): RuleGroup[] =>
  Object.entries(ruleFiles(settings)).flatMap(
    ([file, values]) => (load(configFile(file, values)) as { readonly groups: readonly RuleGroup[] }).groups,
  );

/** As in Alertmanager's configuration. */
export interface InhibitRule {
  readonly source_matchers: readonly string[];
  readonly target_matchers: readonly string[];
  readonly equal: readonly string[];
}

/** Which alerts keep which others quiet. */
export const inhibitRules = (): InhibitRule[] => load(configFile('alertmanager/inhibitions.yaml')) as InhibitRule[];
