import { Construct } from 'constructs';
import type { OperatorStack, Settings } from '../config/schema';
import { PodMonitor, PrometheusRule, PrometheusRuleSpecGroupsRulesExpr } from '../imports/monitoring.coreos.com';
import { ruleGroups } from './prometheus-rules';
import type { Workload } from './workload';

export interface MonitorsProps {
  readonly settings: Settings;
  readonly stack: OperatorStack;
  /** Workloads whose pods are asked for metrics. */
  readonly workloads: readonly Workload[];
}

/** What tells a Prometheus Operator which pods to ask and which rules to evaluate. */
export class Monitors extends Construct {
  constructor(scope: Construct, id: string, { settings, stack, workloads }: MonitorsProps) {
    super(scope, id);
    const { scrapeIntervalSeconds, scrapeTimeoutSeconds } = settings.monitoring;
    for (const { name, selector, metrics } of workloads) {
      new PodMonitor(this, name, {
        metadata: { name, labels: { ...stack.labels } },
        spec: {
          jobLabel: 'app.kubernetes.io/name',
          selector: { matchLabels: { ...selector } },
          podMetricsEndpoints: metrics.map(port => ({
            port: port.name,
            interval: `${scrapeIntervalSeconds}s`,
            scrapeTimeout: `${scrapeTimeoutSeconds}s`,
          })),
        },
      });
    }
    new PrometheusRule(this, 'rules', {
      metadata: { name: 'orfeas', labels: { ...stack.labels } },
      spec: {
        groups: ruleGroups(settings).map(({ name, interval, rules }) => ({
          name,
          ...(interval && { interval }),
          rules: rules.map(({ expr, for: duration, ...rule }) => ({
            ...rule,
            expr: PrometheusRuleSpecGroupsRulesExpr.fromString(expr),
            ...(duration && { for: duration }),
          })),
        })),
      },
    });
  }
}
