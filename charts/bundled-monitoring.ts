import type { Construct } from 'constructs';
import * as derive from '../config/derive';
import { type UpstreamImage, upstreamImages } from '../config/images';
import type { BundledStack, Settings } from '../config/schema';
import { Alertmanager } from '../constructs/alertmanager';
import { Dashboards } from '../constructs/dashboards';
import { Grafana } from '../constructs/grafana';
import type { Identity } from '../constructs/labels';
import type { Flow } from '../constructs/network-policies';
import { Prometheus } from '../constructs/prometheus';
import { StudioChart } from '../constructs/studio-chart';
import type { Workload } from '../constructs/workload';
import type { MonitoringClaims } from './storage';

export interface BundledMonitoringChartProps {
  readonly settings: Settings;
  readonly stack: BundledStack;
  readonly claims: MonitoringClaims;
  readonly backend: Workload;
  /** Whose metrics are gathered, besides those of the chart's own workloads. */
  readonly watched: readonly Workload[];
}

const identity = (name: string, { tag }: UpstreamImage): Identity => ({ name, component: 'monitoring', version: tag });

/** Prometheus, Grafana and, where one is asked for, Alertmanager: all the studio's own. */
export class BundledMonitoringChart extends StudioChart {
  readonly workloads: readonly Workload[];
  readonly prometheus: Prometheus;
  readonly grafana: Grafana;
  readonly flows: readonly Flow[];

  constructor(scope: Construct, id: string, { settings, stack, claims, backend, watched }: BundledMonitoringChartProps) {
    const { namespace, images } = settings;
    super(scope, id, { namespace, identity: { name: 'monitoring', component: 'monitoring', version: images.version } });

    const dashboards = new Dashboards(this, 'dashboards', { settings });
    const { prometheusData, grafanaData, alertmanagerData } = claims;
    const alertmanager = this.as(identity('alertmanager', upstreamImages.alertmanager), () =>
      stack.alertmanager.source === 'bundled' && alertmanagerData
        ? new Alertmanager(this, 'alertmanager', { settings, alertmanager: stack.alertmanager, data: alertmanagerData })
        : undefined,
    );
    const grafana = this.as(
      identity('grafana', upstreamImages.grafana),
      () => new Grafana(this, 'grafana', { settings, stack, data: grafanaData, backend, prometheus: { url: Prometheus.url }, dashboards }),
    );
    const others = [...watched, ...(alertmanager ? [alertmanager] : [])];
    const external = stack.alertmanager.source === 'external' ? stack.alertmanager.targets : [];
    const prometheus = this.as(
      identity('prometheus', upstreamImages.prometheus),
      () =>
        new Prometheus(this, 'prometheus', {
          settings,
          stack,
          data: prometheusData,
          backend,
          grafana,
          workloads: others,
          alertmanagers: alertmanager ? [`${alertmanager.name}:${alertmanager.port}`] : external,
        }),
    );

    this.prometheus = prometheus;
    this.grafana = grafana;
    this.workloads = [prometheus, grafana, ...(alertmanager ? [alertmanager] : [])];
    const { kubeStateMetrics, dcgmExporter, remoteWrite } = stack.prometheus;
    const services = [kubeStateMetrics, dcgmExporter, ...external, ...remoteWrite.map(({ url }) => derive.serviceOf(url))];
    const addresses = services.filter(service => service !== undefined).map(derive.addressOf);
    const elsewhere = new Map(addresses.map(({ namespace: other, port }) => [`${other}:${port}`, { namespace: other, port }]));
    const publicly = remoteWrite.some(({ url }) => derive.serviceOf(url) === undefined);
    this.flows = [
      { from: prometheus, to: 'dns', why: 'Addresses outside of the namespace' },
      { from: prometheus, to: 'api-server', why: 'Which pods there are' },
      ...[...others, grafana].map((to): Flow => ({ from: prometheus, to, ports: to.metrics.map(({ number }) => number), why: 'Metrics' })),
      ...[...elsewhere.values()].map(
        ({ port, ...to }): Flow => ({ from: prometheus, to, ports: [port], why: "The cluster's metrics, Alertmanagers and stores" }),
      ),
      ...(publicly ? [{ from: prometheus, to: 'internet', why: 'Stores of metrics' } as const] : []),
      { from: grafana, to: 'dns', why: "Prometheus' address" },
      { from: grafana, to: prometheus, ports: [prometheus.port], why: 'What dashboards show' },
      ...(derive.grafanaRoute(settings) ? [{ from: 'edge', to: grafana, ports: [grafana.port], why: 'Dashboards' } as const] : []),
      ...(alertmanager
        ? [
            { from: alertmanager, to: 'dns', why: 'Addresses of those whom it tells' } as const,
            { from: alertmanager, to: 'internet', why: 'Those whom it tells, over HTTPS' } as const,
          ]
        : []),
    ];
  }
}
